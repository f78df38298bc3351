//! `openapi`: the document of the HTTP API.

use super::CliError;
use super::output::print_line;
use crate::http::docs;

/// Prints it.
pub(super) fn run() -> Result<(), CliError> {
    Ok(print_line(&docs::openapi())?)
}
