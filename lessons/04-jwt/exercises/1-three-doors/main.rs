//! The trial of exercise 4.1.

mod yours;

fn main() -> std::process::ExitCode {
    trial::run(async |trial| exercises_4::three_doors::check(trial, yours::forge).await)
}
