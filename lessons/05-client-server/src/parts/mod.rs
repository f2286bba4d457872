//! The parts of this lesson, in the order of its chapter.

pub mod crash;
pub mod deliver;
pub mod hostile;
pub mod rotate;
pub mod shutdown;
pub mod spying_server;
pub mod stolen;
