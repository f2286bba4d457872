//! Exercise 6.1: write `may`.

use exercises_6::rules::{Certificate, Table};

/// Whether the service with this verified certificate may do this.
pub fn may(action: &str, certificate: &Certificate, table: &Table) -> bool {
    todo!()
}
