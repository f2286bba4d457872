//! A new configuration has a session store of its own, so everybody shows a certificate once.
//! And the list is asked for each request, because an open connection shows nothing again.

use std::sync::Arc;

use careful_services::credentials::{Credentials, Trust};
use careful_services::revoked::Revoked;
use exercises_6::reload::{Reload, config};
use rustls::ServerConfig;

pub struct Gate {
    own: Credentials,
    current: Arc<ServerConfig>,
    revoked: Revoked,
}

impl Reload for Gate {
    fn new(own: Credentials, clients: Trust) -> Result<Self, String> {
        let current = Arc::new(config(&own, &clients)?);
        let revoked = Revoked::new();
        revoked.replace(&clients.lists).map_err(|error| error.to_string())?;
        Ok(Self { own, current, revoked })
    }

    fn config(&self) -> Arc<ServerConfig> {
        self.current.clone()
    }

    fn admits(&self, issuer: &[u8], serial: &[u8]) -> bool {
        !self.revoked.contains(issuer, serial)
    }

    fn reload(&mut self, clients: Trust) -> Result<(), String> {
        // First everything that can fail.
        let new = Arc::new(config(&self.own, &clients)?);
        self.revoked.replace(&clients.lists).map_err(|error| error.to_string())?;
        self.current = new;
        Ok(())
    }
}
