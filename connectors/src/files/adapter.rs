//! The last check of a file's columns. DataFusion adapts a query to the columns that the Parquet reader found in a file.
//! DataFusion's own adapter casts each column to the type of the table, and cuts values that do not fit. It reads a
//! column that the file lacks as NULLs, also if the contract requires the column.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};

use super::widening::{is_plain, read_as, widens};

/// A fault of one column of a file. `Origin` adds the names of the port and the file.
#[derive(Debug)]
pub(super) struct ColumnError(pub(super) String);

impl ColumnError {
    /// Returns the error of column `name`.
    pub(super) fn of(name: &str, what: &str) -> DataFusionError {
        DataFusionError::External(Box::new(Self(format!("column `{name}`: {what}"))))
    }

    /// Returns the error of a column whose type in a file does not fit the type in the port.
    pub(super) fn unlike(own: &Field, port: &Field) -> DataFusionError {
        Self::of(port.name(), &format!("it is {} here and {} in the port", own.data_type(), port.data_type()))
    }
}

impl Display for ColumnError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ColumnError {}

/// Returns the position and the field of each column. If columns share a name, returns the first one.
pub(super) fn fields_by_name(schema: &Schema) -> HashMap<&str, (usize, &FieldRef)> {
    let mut by_name = HashMap::with_capacity(schema.fields().len());
    for (place, field) in schema.fields().iter().enumerate() {
        by_name.entry(field.name().as_str()).or_insert((place, field));
    }
    by_name
}

/// Adapts queries to files whose columns are read without loss, and refuses the others.
#[derive(Debug)]
pub(super) struct LosslessAdapters {
    /// The columns of the port's files that the contract requires.
    pub(super) required: Vec<String>,
}

impl PhysicalExprAdapterFactory for LosslessAdapters {
    fn create(&self, port: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        if let Some(lacking) = self.required.iter().find(|name| file.column_with_name(name).is_none()) {
            return Err(ColumnError::of(lacking, "the file lacks it, and the contract requires it"));
        }
        check_types(&port, &file)?;
        let inner = DefaultPhysicalExprAdapterFactory.create(port.clone(), file.clone())?;
        Ok(Arc::new(LosslessAdapter { inner, port, file }))
    }
}

/// Checks that each column of a file can be read as that of the port.
fn check_types(port: &Schema, file: &Schema) -> Result<()> {
    let by_name = fields_by_name(file);
    for field in port.fields() {
        let Some((_, found)) = by_name.get(field.name().as_str()) else { continue };
        if !widens(found.data_type(), field.data_type()) {
            return Err(ColumnError::unlike(found, field));
        }
    }
    Ok(())
}

#[derive(Debug)]
struct LosslessAdapter {
    inner: Arc<dyn PhysicalExprAdapter>,
    port: SchemaRef,
    file: SchemaRef,
}

impl PhysicalExprAdapter for LosslessAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        self.inner.rewrite(expr)?.transform(|expr| Ok(self.replace_cast(expr))).data()
    }
}

impl LosslessAdapter {
    /// Replaces a cast that DataFusion put around a column with our own, unless DataFusion may move the cast.
    fn replace_cast(&self, expr: Arc<dyn PhysicalExpr>) -> Transformed<Arc<dyn PhysicalExpr>> {
        let column = expr.downcast_ref::<CastExpr>().map(CastExpr::expr);
        let Some((name, column)) = column.and_then(|c| Some((c.downcast_ref::<Column>()?.name(), c))) else {
            return Transformed::no(expr);
        };
        let (Ok(from), Ok(to)) = (self.file.field_with_name(name), self.port.field_with_name(name)) else {
            return Transformed::no(expr);
        };
        if is_plain(from.data_type(), to.data_type()) {
            return Transformed::no(expr);
        }
        Transformed::yes(Arc::new(ReadAs { column: column.clone(), field: Arc::new(to.clone()) }))
    }
}

/// A column of a file, read as the type of the port. DataFusion does not know it as a cast: it neither moves the
/// expression nor prunes by it.
#[derive(Clone, Debug)]
struct ReadAs {
    column: Arc<dyn PhysicalExpr>,
    field: FieldRef,
}

impl PartialEq for ReadAs {
    fn eq(&self, other: &Self) -> bool {
        self.column.eq(&other.column) && self.field == other.field
    }
}

impl Eq for ReadAs {}

impl Hash for ReadAs {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.column.hash(state);
        self.field.data_type().hash(state);
    }
}

impl Display for ReadAs {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} AS {}", self.column, self.field.data_type())
    }
}

impl PhysicalExpr for ReadAs {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(self.field.is_nullable())
    }

    fn return_field(&self, _: &Schema) -> Result<FieldRef> {
        Ok(self.field.clone())
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let array = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        let read = read_as(&array, self.field.data_type());
        Ok(ColumnarValue::Array(read.map_err(|what| ColumnError::of(self.field.name(), &what))?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let column = children.pop().unwrap_or_else(|| self.column.clone());
        Ok(Arc::new(Self { column, field: self.field.clone() }))
    }

    fn fmt_sql(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_file_without_a_required_column_is_refused_and_without_another_is_not() {
        let schema = |names: &[&str]| -> SchemaRef {
            Arc::new(Schema::new(names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect::<Vec<_>>()))
        };
        let (port, adapters) = (schema(&["id", "note"]), LosslessAdapters { required: vec!["id".to_owned()] });
        adapters.create(port.clone(), schema(&["id"])).unwrap();
        let refused = adapters.create(port, schema(&["note", "other"])).unwrap_err().to_string();
        assert!(refused.contains("column `id`: the file lacks it, and the contract requires it"), "{refused}");
    }
}
