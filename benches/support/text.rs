//! A spec in memory.

use std::io::{self, Read};
use std::path::Path;
use wellposed::source::Loader;

/// Its text, whatever it is called.
pub struct Text(pub String);

impl Loader for Text {
    fn open(&self, _: &Path) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.0.as_bytes()))
    }
}
