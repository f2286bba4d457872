//! The trial of exercise 2.2.

mod yours;

fn main() -> std::process::ExitCode {
    trial::run(async |trial| exercises_2::pin::check(trial, yours::verifier).await)
}
