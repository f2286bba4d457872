//! The trial of exercise 6.3.

mod yours;

fn main() -> std::process::ExitCode {
    trial::run(async |trial| exercises_6::issuing::check(trial, yours::decide).await)
}
