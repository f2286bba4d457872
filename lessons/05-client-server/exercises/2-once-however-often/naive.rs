//! The answer that most people find first moves the ids into the database, into a table of their own. Two transactions follow
//! one another, one that looks and pays, and one that notes the id. Each is atomic, but together they aren't, because two
//! requests at once both look before either has noted. And the id alone is the key, so the same id of another user shows
//! this user's receipt.

use exercises_5::once::{Error, Order, Payments};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

/// Coins by payee.
const BALANCES: TableDefinition<&str, u64> = TableDefinition::new("balances");

/// Receipts by id.
const PAID: TableDefinition<&str, &str> = TableDefinition::new("paid");

pub struct Bank {
    database: Database,
}

impl Payments for Bank {
    fn open(database: Database) -> Result<Self, Error> {
        let write = database.begin_write()?;
        write.open_table(BALANCES)?;
        write.open_table(PAID)?;
        write.commit()?;
        Ok(Self { database })
    }

    fn pay_once(&self, user: &str, id: &str, order: &Order) -> Result<String, Error> {
        let paid = self.database.begin_read()?.open_table(PAID)?;
        if let Some(receipt) = paid.get(id)? {
            return Ok(receipt.value().to_owned());
        }
        let write = self.database.begin_write()?;
        {
            let mut balances = write.open_table(BALANCES)?;
            let before = balances.get(&*order.payee)?.map_or(0, |coins| coins.value());
            balances.insert(&*order.payee, before + order.coins)?;
        }
        write.commit()?;
        let receipt = format!("{user} paid {} to {}", order.coins, order.payee);
        let write = self.database.begin_write()?;
        write.open_table(PAID)?.insert(id, &*receipt)?;
        write.commit()?;
        Ok(receipt)
    }

    fn balance(&self, payee: &str) -> Result<u64, Error> {
        let balances = self.database.begin_read()?.open_table(BALANCES)?;
        Ok(balances.get(payee)?.map_or(0, |coins| coins.value()))
    }
}
