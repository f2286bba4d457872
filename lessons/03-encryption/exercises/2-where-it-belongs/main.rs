//! The trial of exercise 3.2.

mod yours;

fn main() -> std::process::ExitCode {
    trial::run(async |trial| exercises_3::where_it_belongs::check(trial, yours::context).await)
}
