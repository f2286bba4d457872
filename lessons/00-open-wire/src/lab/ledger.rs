//! Accounts and payments, in memory.
//!
//! Passwords are kept as plain text here. That is a mistake of its own, which lesson 5
//! ends with Argon2id; this lesson is about the wire.

use std::collections::BTreeMap;

use thiserror::Error;

/// Every account with its password and its balance in coins.
#[derive(Clone, Default)]
pub struct Ledger {
    accounts: BTreeMap<String, Account>,
}

#[derive(Clone)]
struct Account {
    password: String,
    coins: u32,
}

/// Why the bank does not do what it was asked to.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LedgerError {
    /// One error for an unknown name and a wrong password, so that a login does not tell
    /// who has an account.
    #[error("unknown name or wrong password")]
    Login,
    /// The payee has no account.
    #[error("no account of that name to pay to")]
    NoSuchPayee,
    /// The payer has less than the amount.
    #[error("not enough coins")]
    NotEnough,
}

impl Ledger {
    /// Opens an account.
    pub fn open(mut self, name: &str, password: &str, coins: u32) -> Self {
        self.accounts.insert(name.to_owned(), Account { password: password.to_owned(), coins });
        self
    }

    /// Checks a name and a password.
    pub fn log_in(&self, name: &str, password: &str) -> Result<(), LedgerError> {
        match self.accounts.get(name) {
            Some(account) if account.password == password => Ok(()),
            _ => Err(LedgerError::Login),
        }
    }

    /// Moves `amount` coins from one account to another.
    pub fn pay(&mut self, from: &str, to: &str, amount: u32) -> Result<(), LedgerError> {
        let left = self.balance(from).checked_sub(amount).ok_or(LedgerError::NotEnough)?;
        let payee = self.accounts.get_mut(to).ok_or(LedgerError::NoSuchPayee)?;
        if from != to {
            payee.coins = payee.coins.saturating_add(amount);
            if let Some(payer) = self.accounts.get_mut(from) {
                payer.coins = left;
            }
        }
        Ok(())
    }

    /// The balance in coins; 0 without an account.
    pub fn balance(&self, name: &str) -> u32 {
        self.accounts.get(name).map_or(0, |account| account.coins)
    }
}
