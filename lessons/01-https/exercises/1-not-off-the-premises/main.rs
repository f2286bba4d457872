//! The trial of exercise 1.1.

mod yours;

fn main() -> std::process::ExitCode {
    trial::run(async |trial| exercises_1::premises::check(trial, yours::policy).await)
}
