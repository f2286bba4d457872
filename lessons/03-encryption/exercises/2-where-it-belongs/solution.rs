//! Everything that tells one place from another, each part separately, in an order that never changes.

use careful_encryption::context::Context;
use exercises_3::where_it_belongs::Place;

pub fn context(place: &Place) -> Context {
    Context::new("hospital value 1")
        .with(place.clinic)
        .with(place.table)
        .with(place.row)
        .with(place.column)
        .with(place.version.to_be_bytes())
}
