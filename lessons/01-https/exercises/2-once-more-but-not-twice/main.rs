//! The trial of exercise 1.2.

mod yours;

fn main() -> std::process::ExitCode {
    trial::run(async |trial| exercises_1::retry::check(trial, yours::ask).await)
}
