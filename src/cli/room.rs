//! `room`: rooms that everybody, or the staff, may join.

use std::path::Path;

use clap::Subcommand;

use super::CliError;
use super::output::{self, print};
use super::site::Site;
use crate::domain::{Access, ConversationId};
use crate::policy::MayKeepRooms;

/// What can be done with rooms.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make one.
    Add {
        /// Its name, at most 255 characters.
        #[arg(value_parser = title)]
        title: String,
        /// Let only the staff in.
        #[arg(long)]
        staff_only: bool,
        /// What it is for, at most 2000 characters.
        #[arg(long, value_name = "D", default_value = "", hide_default_value = true, value_parser = description)]
        description: String,
    },
    /// List them, one JSON object a line.
    List,
    /// Remove one; everybody in it is put out.
    Remove {
        /// Its number.
        id: i64,
    },
}

/// Carries it out.
pub(super) async fn run(config: Option<&Path>, command: Command) -> Result<(), CliError> {
    let site = Site::open(config).await?;
    let done = carry_out(&site, command).await;
    site.close(done).await
}

async fn carry_out(site: &Site, command: Command) -> Result<(), CliError> {
    let permit = MayKeepRooms::operator();
    match command {
        Command::Add { title, staff_only, description } => {
            let access = if staff_only { Access::Staff } else { Access::Open };
            let room = site.store.add_room(&permit, &title, &description, access).await?;
            print(&output::room(&room))?;
        }
        Command::List => {
            for room in site.store.list_rooms().await? {
                print(&output::room(&room))?;
            }
        }
        Command::Remove { id } => {
            let id = ConversationId::new(id);
            let room = site.store.find_conversation(id).await?;
            let removed = site.store.remove_room(&permit, id).await?;
            match room.filter(|_| removed) {
                Some(room) => print(&output::room(&room))?,
                None => return Err(CliError::Refused(format!("there is no room {id}"))),
            }
        }
    }
    Ok(())
}

fn title(text: &str) -> Result<String, String> {
    let text = text.trim();
    let fits = (1..=255).contains(&text.chars().count()) && !text.contains('\0');
    fits.then(|| text.to_owned()).ok_or_else(|| "1 to 255 characters are allowed".to_owned())
}

fn description(text: &str) -> Result<String, String> {
    let fits = text.chars().count() <= 2000 && !text.contains('\0');
    fits.then(|| text.to_owned()).ok_or_else(|| "at most 2000 characters are allowed".to_owned())
}
