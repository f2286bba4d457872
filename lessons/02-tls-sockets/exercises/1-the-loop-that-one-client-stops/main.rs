//! The trial of exercise 2.1.

mod yours;

fn main() -> std::process::ExitCode {
    trial::run(async |trial| exercises_2::accept_loop::check::<yours::Yours>(trial).await)
}
