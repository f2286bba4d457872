//! The trial of exercise 6.1.

mod yours;

fn main() -> std::process::ExitCode {
    trial::run(async |trial| exercises_6::rules::check(trial, yours::may).await)
}
