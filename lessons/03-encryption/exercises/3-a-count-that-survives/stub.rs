//! Exercise 3.3: fix the count.

use careful_encryption::context::Context;
use careful_encryption::sealing::{KeyId, Sealer, SecretKey};
use exercises_3::count::{Counted, Crashed, Disk};

pub struct Yours {
    disk: Disk,
    sealer: Sealer,
}

impl Counted for Yours {
    fn start(disk: Disk, key: &SecretKey) -> Result<Self, Crashed> {
        let sealer = Sealer::resume(KeyId(*b"key-2026"), key, disk.read());
        Ok(Self { disk, sealer })
    }

    fn seal(&mut self, context: &Context, text: &[u8]) -> Result<Vec<u8>, Crashed> {
        let message = self.sealer.seal(context, text).map_err(|_| Crashed)?;
        if self.sealer.sealed().is_multiple_of(100) {
            self.disk.write(self.sealer.sealed())?;
        }
        Ok(message)
    }

    fn sealed(&self) -> u64 {
        self.sealer.sealed()
    }
}
