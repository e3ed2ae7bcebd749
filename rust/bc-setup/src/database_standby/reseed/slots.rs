//! The slots that a former primary kept for its standbys: on a standby they would keep its log for ever.

use bc_core::basics::Error;

use crate::{cluster::Cluster, console::Console, superuser::Superuser};

/// Slots that gocd-bc makes begin so.
const OURS: &str = "gocd_bc";

/// Drops those that are ours, by their names (`usual` is what is asked for today), and names the others.
///
/// # Errors
/// The standby does not answer.
pub(super) fn drop_former(cluster: &Cluster, usual: &str, console: &mut dyn Console) -> Result<(), Error> {
    let server = Superuser::open(cluster, "postgres")?;
    let unused = server.rows(
        "select slot_name from pg_replication_slots where slot_type = 'physical' and not active order by slot_name",
    )?;
    for slot in unused.into_iter().filter_map(|row| row.into_iter().next()?) {
        let drops = format!("select pg_drop_replication_slot('{slot}')");
        if slot.starts_with(OURS) || slot == usual {
            server.run(&drops)?;
            console.say(&format!(
                "Dropped the slot {slot} here, which is of its time as a primary."
            ));
        } else {
            console.say(&format!(
                "The slot {slot} here is of its time as a primary, and keeps the log for ever. As superuser: {drops}"
            ));
        }
    }
    Ok(())
}
