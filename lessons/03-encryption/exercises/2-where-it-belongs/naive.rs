//! The answer that most people find first. A row has a key, and the key names the value, so why more? Because the attacker
//! doesn't care about keys. She takes any sealed value that she finds and writes it over any other. With only the row in the
//! context, she can't move a diagnosis to another patient, but she can make every other move.

use careful_encryption::context::Context;
use exercises_3::where_it_belongs::Place;

pub fn context(place: &Place) -> Context {
    Context::new("hospital").with(format!("{}/{}", place.table, place.row))
}
