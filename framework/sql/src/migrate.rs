//! Migrations: two folders of plain SQL with the same file names, included at build time.

use std::borrow::Cow;

use sqlx::{
    SqlStr,
    migrate::{Migration as SqlxMigration, MigrationType, Migrator},
};

/// One step of a schema. Never edited once merged: a change is a new step.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// The step's number; steps run in this order.
    pub version: i64,
    /// A word for humans.
    pub name: &'static str,
    /// The step for SQLite.
    pub sqlite: &'static str,
    /// The step for PostgreSQL.
    pub postgres: &'static str,
}

/// Builds sqlx's migrator for one engine. `table` names the table of applied steps, so that two schemas can share a database.
pub(crate) fn migrator(
    steps: &[Migration],
    table: &'static str,
    text: impl Fn(&Migration) -> &'static str,
) -> Migrator {
    let steps = steps.iter().map(|step| {
        SqlxMigration::new(
            step.version,
            Cow::Borrowed(step.name),
            MigrationType::Simple,
            SqlStr::from_static(text(step)),
            false,
        )
    });
    let mut migrator = Migrator::with_migrations(steps.collect());
    migrator.dangerous_set_table_name(table);
    migrator
}
