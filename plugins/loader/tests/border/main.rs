//! The border as it is: libraries that were really built, loaded, refused and survived.

mod calls;
mod formats;
mod functions;
mod jumbo;
mod layout;
mod libraries;
mod load;
