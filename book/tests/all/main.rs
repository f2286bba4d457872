//! The book's own checks, and the repository's policies.

mod book;
mod pages;
mod policy;
