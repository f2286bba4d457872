//! What a service shows and whom it trusts, each of which changes alone.
//!
//! The mistake this prevents: a renewer and a reader of revocation lists that each keep a copy of
//! what the other one changes. Then a renewal brings yesterday's lists back, or a new list
//! yesterday's certificate.

use std::sync::{Mutex, PoisonError};

use crate::credentials::{Credentials, Trust};

/// The credentials and the trust that are in use, and how new ones come into use.
pub struct Reloading<A> {
    current: Mutex<(Credentials, Trust)>,
    apply: A,
}

// ANCHOR: reloading
impl<A: Fn(&Credentials, &Trust) -> Result<(), String>> Reloading<A> {
    /// With what is in use already. `apply` makes configurations of both and installs them: for
    /// the server, for each client, and in [`Revoked`](crate::revoked::Revoked). It does first
    /// what can fail. A list that is past its date makes `apply` fail, and then new credentials
    /// aren't shown either, so load lists in time. If clients and servers have different CAs, let
    /// `apply` keep those of the servers.
    pub fn new(own: Credentials, trust: Trust, apply: A) -> Self {
        Self { current: Mutex::new((own, trust)), apply }
    }

    /// Shows these from now on.
    ///
    /// # Errors
    /// What `apply` says. Those before stay, and are what the next change builds on.
    pub fn show(&self, own: Credentials) -> Result<(), String> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        (self.apply)(&own, &current.1)?;
        current.0 = own;
        Ok(())
    }

    /// Trusts these from now on.
    ///
    /// # Errors
    /// As for [`Self::show`].
    pub fn trust(&self, trust: Trust) -> Result<(), String> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        (self.apply)(&current.0, &trust)?;
        current.1 = trust;
        Ok(())
    }
}
// ANCHOR_END: reloading
