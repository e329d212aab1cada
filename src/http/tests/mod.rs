//! What only several files of the folder together do.

mod answers;
mod bodies;
mod corpus;
mod feeding;
mod fuzz;
mod heads;
mod smuggling;
