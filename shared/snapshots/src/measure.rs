//! Measuring ways to do the same next to one another, in turns within one run, round by round: so
//! what else the machine does meets all of them.

use std::time::{Duration, Instant};

/// Rounds of each way; the figure is their median.
pub const ROUNDS: usize = 31;
const ROUND: Duration = Duration::from_millis(40);

/// How often a second each of `N` ways is done, the median of [`ROUNDS`] rounds in turns.
pub fn per_second<const N: usize>(ways: [&mut dyn FnMut(); N]) -> [f64; N] {
    let mut figures = [const { Vec::new() }; N];
    for turn in 0..=ROUNDS {
        for step in 0..N {
            let way = (turn + step) % N;
            let figure = round(&mut *ways[way]);
            // The first turn warms up.
            if turn > 0 {
                figures[way].push(figure);
            }
        }
    }
    figures.map(|mut figures| median(&mut figures))
}

/// The medians of `N` figures, each measured so often, in turns. For ways that await something.
///
/// # Errors
/// The first that measuring one of them gives.
pub async fn in_turns<const N: usize, E>(
    rounds: usize,
    mut measure: impl AsyncFnMut(usize) -> Result<f64, E>,
) -> Result<[f64; N], E> {
    let mut figures = [const { Vec::new() }; N];
    for turn in 0..=rounds {
        // Each goes first in its turn.
        for step in 0..N {
            let way = (turn + step) % N;
            let figure = measure(way).await?;
            // The first turn warms up.
            if turn > 0 {
                figures[way].push(figure);
            }
        }
    }
    Ok(figures.map(|mut figures| median(&mut figures)))
}

fn round(work: &mut dyn FnMut()) -> f64 {
    let started = Instant::now();
    let mut done = 0_u32;
    while started.elapsed() < ROUND {
        work();
        done += 1;
    }
    f64::from(done) / started.elapsed().as_secs_f64()
}

/// The middle one of the values in order; 0 of none.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
