//! Finds the types of the columns that are stored as text, by reading their values.

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use encoding_rs::WINDOWS_1252;
use futures::TryStreamExt;
use portolan_catalog::FileFormat;
use portolan_engine::{RecordBatch, Session};

use super::columns::ColumnDraft;
use super::text_types::{TextType, TextValues};
use super::{Drafting, PortDraft, is_text, of_data};
use crate::{Error, Result};

impl Drafting<'_> {
    /// Finds the types of columns that are stored as text, by their values.
    pub(super) async fn find_types(&self, ports: &mut [PortDraft]) -> Result<()> {
        if !ports.iter().any(|port| is_text(port.files.format)) {
            return Ok(());
        }
        let mut session = self.open(ports).await?;
        for i in 0..ports.len() {
            let mut found = self.text_types(&session, &ports[i], &[]).await;
            if found.is_err() && ports[i].may_be_windows {
                ports[i].files.text.encoding = Some(WINDOWS_1252.name().to_owned());
                session = self.open(ports).await?;
                found = self.text_types(&session, &ports[i], &[]).await.or(found);
            }
            if found.is_err() && ports[i].files.format == FileFormat::Json {
                // Values of several kinds, which are left out later.
                let faults = self.rows(&session).unreadable(&ports[i]).await;
                let mixed: Vec<usize> = faults.into_iter().map(|(column, _)| column).collect();
                if mixed.len() < ports[i].columns.len() {
                    found = self.text_types(&session, &ports[i], &mixed).await;
                }
            }
            for (column, text_type) in found? {
                ports[i].columns[column].text_type = text_type;
            }
        }
        Ok(())
    }

    /// Returns the types of the columns of a port that are stored as text, by their values, with their positions. Does not
    /// read the columns at the positions `ignored`.
    async fn text_types(
        &self,
        session: &Session,
        port: &PortDraft,
        ignored: &[usize],
    ) -> Result<Vec<(usize, TextType)>> {
        let is_string = |column: &ColumnDraft| {
            is_text(port.files.format) && !column.is_partition && column.text_type.logical_type == "string"
        };
        let mut strings: Vec<usize> = (0..port.columns.len()).filter(|i| is_string(&port.columns[*i])).collect();
        strings.retain(|i| !ignored.contains(i));
        if strings.is_empty() {
            return Ok(vec![]);
        }
        let names: Vec<&str> = strings.iter().map(|i| port.columns[*i].name.as_str()).collect();
        let sql = self.rows(session).select(port, &names);
        let of_values = match port.files.format {
            FileFormat::Csv => TextValues::of_csv(port.files.delimiter.unwrap_or(b',')),
            _ => TextValues::of_json(),
        };
        let mut values = vec![of_values; strings.len()];
        let failed = |error: portolan_engine::Error| of_data(&port.files.location, &error);
        let mut rows = session.sql(&sql).await.map_err(failed)?;
        while let Some(batch) = rows.try_next().await.map_err(failed)? {
            add(&batch, &mut values)?;
        }
        Ok(strings.into_iter().zip(values.iter().map(TextValues::text_type)).collect())
    }
}

/// Adds the values of the rows.
fn add(batch: &RecordBatch, values: &mut [TextValues]) -> Result<()> {
    for (column, values) in batch.columns().iter().zip(values) {
        let strings = cast(column, &DataType::Utf8).map_err(|e| Error::failed("a column is no text").with_source(e))?;
        let strings = strings.as_string::<i32>();
        strings.iter().flatten().for_each(|text| values.add(text));
    }
    Ok(())
}
