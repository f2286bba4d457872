//! The answer that most people find first. A row has a key, and the key names the value, so why more? Because the attacker
//! doesn't think of keys. She takes any sealed value that she finds and writes it over any other. With the row alone
//! in the context she can't move a diagnosis to another patient, and everything else she can.

use careful_encryption::context::Context;
use exercises_3::where_it_belongs::Place;

pub fn context(place: &Place) -> Context {
    Context::new("hospital").with(format!("{}/{}", place.table, place.row))
}
