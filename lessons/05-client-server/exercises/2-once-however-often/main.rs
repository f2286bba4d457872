//! The trial of exercise 5.2.

mod yours;

fn main() -> std::process::ExitCode {
    trial::run(async |trial| exercises_5::once::check::<yours::Bank>(trial).await)
}
