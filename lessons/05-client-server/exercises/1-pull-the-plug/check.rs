//! A disk whose power goes off where the learner says, and four stores on it.

use std::collections::BTreeMap;

use trial::Trial;

#[cfg(test)]
#[path = "naive.rs"]
mod naive;
#[cfg(test)]
#[path = "solution.rs"]
mod solution;
#[path = "stores.rs"]
mod stores;
#[cfg(test)]
#[path = "stub.rs"]
mod stub;

/// What a store does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Appends this to a file.
    Write(&'static str, &'static str),
    /// Has the disk keep what was written to a file.
    Sync(&'static str),
    /// Gives a file the name of another one, which is gone then.
    Rename(&'static str, &'static str),
    /// Carries an order out.
    Carry(u8),
    /// Answers that an order is stored.
    Answer(u8),
}

/// How a promise is broken. The number is that of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It was answered, and is gone.
    Lost(u8),
    /// It was carried out two times.
    Doubled(u8),
}

/// What the learner writes.
pub type Cut = fn(u8) -> Option<(usize, Broken)>;

/// One file: what is on the disk for good, and what was written and not synced.
#[derive(Clone, Default)]
struct File {
    kept: Vec<&'static str>,
    written: Vec<&'static str>,
}

/// What the world knows.
#[derive(Default)]
struct World {
    files: BTreeMap<&'static str, File>,
    answered: Vec<u8>,
    /// How often each order was carried out.
    carried: BTreeMap<u8, u32>,
}

fn number(order: &str) -> u8 {
    order.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

impl World {
    /// Order 1 was stored, carried out and answered.
    fn new(store: u8) -> Self {
        let mut world = Self::default();
        let (orders, ids) = stores::files(store);
        for file in [orders, ids] {
            world.files.insert(file, File { kept: vec!["order 1"], written: Vec::new() });
        }
        world.answered.push(1);
        world.carried.insert(1, 1);
        world
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Write(file, order) => self.files.entry(file).or_default().written.push(order),
            Step::Sync(file) => {
                let file = self.files.entry(file).or_default();
                file.kept.append(&mut file.written);
            }
            Step::Rename(from, to) => {
                let file = self.files.remove(from).unwrap_or_default();
                self.files.insert(to, file);
            }
            Step::Carry(order) => *self.carried.entry(order).or_default() += 1,
            Step::Answer(order) => self.answered.push(order),
        }
    }

    /// What was not synced is gone.
    fn lose_power(&mut self) {
        self.files.values_mut().for_each(|file| file.written.clear());
    }

    /// The store starts again. A client without an answer sends order 2 again, and the store takes it as it takes every
    /// order that it doesn't know.
    fn recover(&mut self, store: u8) {
        let (orders, ids) = stores::files(store);
        let has = |world: &Self, file: &str, order: u8| {
            world
                .files
                .get(file)
                .is_some_and(|file| file.kept.iter().any(|kept| number(kept) == order))
        };
        // What is stored and was not carried out is carried out now, by the stores that do that from their log.
        let carries_at_once =
            stores::steps(store).iter().any(|step| matches!(step, Step::Carry(_)));
        if !carries_at_once {
            for order in [1, 2] {
                if has(self, orders, order) {
                    self.carried.entry(order).or_insert(1);
                }
            }
        }
        if !self.answered.contains(&2) && !has(self, ids, 2) {
            for step in stores::steps(store) {
                self.take(*step);
            }
            if !carries_at_once {
                self.carried.entry(2).or_insert(1);
            }
        }
    }

    /// How the promise is broken.
    fn broken(&self, store: u8) -> Option<Broken> {
        let (orders, _) = stores::files(store);
        let on_disk = |order: u8| {
            self.files
                .get(orders)
                .is_some_and(|file| file.kept.iter().any(|kept| number(kept) == order))
        };
        let lost = self.answered.iter().find(|order| !on_disk(**order));
        let doubled = self.carried.iter().find(|(_, times)| **times > 1);
        match (lost, doubled) {
            (Some(order), _) => Some(Broken::Lost(*order)),
            (None, Some((order, _))) => Some(Broken::Doubled(*order)),
            (None, None) => None,
        }
    }
}

/// What is broken if the power goes off after this step.
fn pulled(store: u8, after: usize) -> Option<Broken> {
    let mut world = World::new(store);
    stores::steps(store).iter().take(after).for_each(|step| world.take(*step));
    world.lose_power();
    // What the store finds when it starts again; then the client sends its order again.
    world.broken(store).or_else(|| {
        world.recover(store);
        world.broken(store)
    })
}

fn judged(cut: Cut, store: u8) -> Result<(), String> {
    let steps = stores::steps(store).len();
    let breakable = (0..=steps).any(|after| pulled(store, after).is_some());
    match cut(store) {
        None if breakable => {
            Err("expected a step after which its promise is broken, got None".to_owned())
        }
        None => Ok(()),
        Some((after, _)) if !(1..=steps).contains(&after) => {
            Err(format!("it has the steps 1 to {steps}, and you cut after {after}"))
        }
        Some((after, how)) => match pulled(store, after) {
            Some(broken) if broken == how => Ok(()),
            Some(_other) => Err(format!(
                "after step {after} something else happens than {how:?}: what is on the disk then?"
            )),
            None => Err(format!("after step {after} nothing is lost, and nothing doubled")),
        },
    }
}

/// The trial.
pub async fn check(trial: &mut Trial, cut: Cut) {
    trial.goal("store 1, which appends to a log", async move { judged(cut, 1) }).await;
    trial.goal("store 2, which rewrites its file", async move { judged(cut, 2) }).await;
    trial.goal("store 3, which carries out and then notes", async move { judged(cut, 3) }).await;
    trial.goal("store 4, which has one record for all", async move { judged(cut, 4) }).await;
}

#[cfg(test)]
mod proof {
    use super::*;

    #[test]
    fn the_solution_fails_nothing() {
        assert_eq!(trial::failures(async |trial| check(trial, solution::cut).await), [""; 0]);
    }

    #[test]
    fn the_naive_answer_cuts_before_the_answer_and_breaks_nothing() {
        let failed = trial::failures(async |trial| check(trial, naive::cut).await);
        assert_eq!(failed.len(), 4, "{failed:?}");
    }

    #[test]
    fn the_right_step_for_the_wrong_reason_is_a_guess() {
        fn guess(store: u8) -> Option<(usize, Broken)> {
            solution::cut(store).map(|(after, how)| match how {
                Broken::Lost(order) => (after, Broken::Doubled(order)),
                Broken::Doubled(order) => (after, Broken::Lost(order)),
            })
        }
        let failed = trial::failures(async |trial| check(trial, guess).await);
        assert_eq!(failed.len(), 3, "{failed:?}");
    }

    #[test]
    fn the_stub_is_unfinished() {
        assert!(trial::is_unfinished(async |trial| check(trial, stub::cut).await));
    }

    #[test]
    fn three_stores_can_be_broken_and_each_in_its_own_way() {
        let broken = |store| -> Vec<(usize, Broken)> {
            let steps = stores::steps(store).len();
            (0..=steps).filter_map(|after| Some((after, pulled(store, after)?))).collect()
        };
        assert_eq!(broken(1), [(2, Broken::Lost(2))]);
        assert_eq!(broken(2), [(3, Broken::Lost(1))]);
        assert_eq!(broken(3), [(3, Broken::Doubled(2)), (4, Broken::Doubled(2))]);
        assert_eq!(broken(4), []);
    }
}
