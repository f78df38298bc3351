//! A table as one reads it, and its statements for each of the databases.
//!
//! What differs between them is settled here and nowhere else: the type of keys, of long texts, collations, and where
//! an index is declared.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

/// A table that is about to be made.
pub(crate) struct Sketch<'a> {
    manager: &'a SchemaManager<'a>,
    name: &'static str,
    table: TableCreateStatement,
    indexes: Vec<IndexCreateStatement>,
}

impl<'a> Sketch<'a> {
    /// Begins a table without columns.
    pub(crate) fn of(manager: &'a SchemaManager<'a>, name: &'static str) -> Self {
        let mut table = Table::create();
        table.table(name).if_not_exists();
        if manager.get_database_backend() == DbBackend::MySql {
            // The other two compare texts byte by byte, and so must this one, whatever the database's default.
            table.engine("InnoDB").character_set("utf8mb4").collate("utf8mb4_bin");
        }
        Self { manager, name, table, indexes: Vec::new() }
    }

    fn backend(&self) -> DbBackend {
        self.manager.get_database_backend()
    }

    fn column(mut self, column: &mut ColumnDef) -> Self {
        self.table.col(column.take());
        self
    }

    /// A key `id` that counts by itself.
    pub(crate) fn id(self) -> Self {
        self.column(ColumnDef::new("id").big_integer().not_null().auto_increment().primary_key())
    }

    /// A key that is given. In SQLite only a column of type `integer` is the row's own number, without another index.
    pub(crate) fn key(self, name: &'static str) -> Self {
        let mut column = ColumnDef::new(name);
        if self.backend() == DbBackend::Sqlite {
            column.integer();
        } else {
            column.big_integer();
        }
        self.column(column.not_null().primary_key())
    }

    /// A whole number of 64 bits.
    pub(crate) fn big(self, name: &'static str) -> Self {
        self.column(ColumnDef::new(name).big_integer().not_null())
    }

    /// The same, perhaps absent.
    pub(crate) fn big_null(self, name: &'static str) -> Self {
        self.column(ColumnDef::new(name).big_integer().null())
    }

    /// A small whole number.
    pub(crate) fn small(self, name: &'static str) -> Self {
        self.column(ColumnDef::new(name).small_integer().not_null())
    }

    /// The same, perhaps absent.
    pub(crate) fn small_null(self, name: &'static str) -> Self {
        self.column(ColumnDef::new(name).small_integer().null())
    }

    /// A number that the database keeps from falling below zero.
    pub(crate) fn unsigned(self, name: &'static str) -> Self {
        let check = Expr::col(name).gte(0);
        self.column(ColumnDef::new(name).big_integer().not_null().check(check))
    }

    /// Yes or no.
    pub(crate) fn flag(self, name: &'static str) -> Self {
        self.column(ColumnDef::new(name).boolean().not_null())
    }

    /// A text of at most so many characters.
    pub(crate) fn words(self, name: &'static str, length: u32) -> Self {
        self.column(ColumnDef::new(name).string_len(length).not_null())
    }

    /// The same, perhaps absent.
    pub(crate) fn words_null(self, name: &'static str, length: u32) -> Self {
        self.column(ColumnDef::new(name).string_len(length).null())
    }

    /// A text without a bound; MySQL's own `text` would end at 64 KiB.
    pub(crate) fn text(self, name: &'static str) -> Self {
        let mut column = self.long(name);
        self.column(column.not_null())
    }

    /// The same, perhaps absent.
    pub(crate) fn text_null(self, name: &'static str) -> Self {
        let mut column = self.long(name);
        self.column(column.null())
    }

    fn long(&self, name: &'static str) -> ColumnDef {
        let mut column = ColumnDef::new(name);
        if self.backend() == DbBackend::MySql {
            column.custom("mediumtext");
        } else {
            column.text();
        }
        column
    }

    /// Exactly so many bytes.
    pub(crate) fn bytes(self, name: &'static str, length: u32) -> Self {
        self.column(ColumnDef::new(name).binary_len(length).not_null())
    }

    /// The same, perhaps absent.
    pub(crate) fn bytes_null(self, name: &'static str, length: u32) -> Self {
        self.column(ColumnDef::new(name).binary_len(length).null())
    }

    /// The columns `created_at` and `updated_at`.
    pub(crate) fn dated(self) -> Self {
        self.big("created_at").big("updated_at")
    }

    /// A column must name a row of another table, if it names anything.
    pub(crate) fn refers(mut self, column: &'static str, to: &'static str) -> Self {
        self.table.foreign_key(
            ForeignKey::create()
                .name(format!("fk_{}_{column}", self.name))
                .from(self.name, column)
                .to(to, "id"),
        );
        self
    }

    /// Several columns are the key together.
    pub(crate) fn keyed<const N: usize>(mut self, columns: [&'static str; N]) -> Self {
        let mut index = Index::create();
        for column in columns {
            index.col(column);
        }
        self.table.primary_key(&mut index);
        self
    }

    /// No two rows agree in all these columns.
    pub(crate) fn unique<const N: usize>(mut self, columns: [&'static str; N]) -> Self {
        let mut index = Index::create();
        index.name(format!("uq_{}_{}", self.name, columns.join("_"))).unique();
        for column in columns {
            index.col(column);
        }
        self.table.index(&mut index);
        self
    }

    /// Rows are looked up by these columns.
    pub(crate) fn index<const N: usize>(mut self, columns: [&'static str; N]) -> Self {
        let mut index = Index::create();
        index.name(format!("ix_{}_{}", self.name, columns.join("_")));
        for column in columns {
            index.col(column);
        }
        if self.backend() == DbBackend::MySql {
            // Inside the table's own statement, as MySQL knows no `CREATE INDEX IF NOT EXISTS`.
            self.table.index(&mut index);
        } else {
            self.indexes.push(index.table(self.name).if_not_exists().take());
        }
        self
    }

    /// Something to add behind the statement, in one database.
    pub(crate) fn extra(mut self, only: DbBackend, words: &'static str) -> Self {
        if self.backend() == only {
            self.table.extra(words);
        }
        self
    }

    /// Makes the table, unless it is there.
    pub(crate) async fn create(self) -> Result<(), DbErr> {
        self.manager.create_table(self.table).await?;
        for index in self.indexes {
            self.manager.create_index(index).await?;
        }
        Ok(())
    }
}

/// Drops tables in the order given.
pub(crate) async fn drop_tables(
    manager: &SchemaManager<'_>,
    names: &[&'static str],
) -> Result<(), DbErr> {
    for name in names {
        manager.drop_table(Table::drop().table(*name).if_exists().take()).await?;
    }
    Ok(())
}
