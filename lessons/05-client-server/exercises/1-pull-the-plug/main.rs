//! The trial of exercise 5.1.

mod yours;

fn main() -> std::process::ExitCode {
    trial::run(async |trial| exercises_5::plug::check(trial, yours::cut).await)
}
