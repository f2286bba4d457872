//! Looking up, paying and recording happen in one transaction. redb lets one writer in at a time, and what isn't committed never was.

use exercises_5::once::{Error, Order, Payments};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

/// Coins by payee.
const BALANCES: TableDefinition<&str, u64> = TableDefinition::new("balances");
/// Payee, coins and receipt, by user and id.
const PAID: TableDefinition<(&str, &str), (&str, u64, &str)> = TableDefinition::new("paid");

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
        let write = self.database.begin_write()?;
        let receipt = format!("{user} paid {} to {}", order.coins, order.payee);
        {
            let (mut paid, mut balances) = (write.open_table(PAID)?, write.open_table(BALANCES)?);
            if let Some(known) = paid.get((user, id))? {
                let (payee, coins, receipt) = known.value();
                return match payee == order.payee && coins == order.coins {
                    true => Ok(receipt.to_owned()),
                    false => Err(Error::Conflict),
                };
            }
            let before = balances.get(&*order.payee)?.map_or(0, |coins| coins.value());
            balances.insert(&*order.payee, before + order.coins)?;
            paid.insert((user, id), (&*order.payee, order.coins, &*receipt))?;
        }
        write.commit()?;
        Ok(receipt)
    }

    fn balance(&self, payee: &str) -> Result<u64, Error> {
        let balances = self.database.begin_read()?.open_table(BALANCES)?;
        Ok(balances.get(payee)?.map_or(0, |coins| coins.value()))
    }
}
