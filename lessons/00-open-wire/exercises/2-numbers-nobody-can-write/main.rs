//! The trial of exercise 0.2.

mod yours;

fn main() -> std::process::ExitCode {
    trial::run(async |trial| exercises_0::numbers::check::<yours::Till>(trial).await)
}
