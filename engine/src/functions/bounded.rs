//! A function whose calls are bounded.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, StructFieldMapping,
};
use portolan_connectors::lock;

use super::cost::{Arguments, Cost};
use super::kinds::Kind;
use super::meter::WorkMeter;
use super::pace::{Pace, WORK_AT_ONCE};
use crate::bounds::{MOST_MADE, beyond_limits};
use crate::execution::errors::into_datafusion;
use crate::{Error, ErrorKind};

/// The longest time for one row, in units of about a nanosecond.
const MOST_WORK: u64 = 1_000_000_000;
/// The longest searches of a call of DataFusion, which do not check the deadline. A hostile pattern takes up to a
/// thousand times as long as the estimate.
const MOST_UNCHECKED: u64 = 1_000_000;
/// A smaller result is not accounted for: a plan holds few batches at once.
const COUNTED: u64 = 1 << 20;
/// The largest result for many rows while a query is planned, such as for the values of partition columns.
const PLANNED_ROWS_BYTES: u64 = 64 << 20;

/// A function of DataFusion, with an estimate of its calls.
#[derive(Debug)]
pub(super) struct BoundedFunction {
    function: Arc<ScalarUDF>,
    kind: &'static Kind,
    meter: Arc<WorkMeter>,
    pace: Arc<Pace>,
    /// The memory of the last result. Other calls for the same rows follow while the result is in use, so the memory
    /// stays reserved until the next call. Partitions share it: of several results, the newest one counts.
    last: Mutex<Option<MemoryReservation>>,
}

/// The cost of all rows of a call.
struct Total {
    /// The largest row.
    row: Cost,
    bytes: u64,
    /// The time of all searches.
    searches: u64,
    /// The first row of each piece that takes a short time.
    pieces: Vec<usize>,
}

impl BoundedFunction {
    pub(super) fn new(function: Arc<ScalarUDF>, kind: &'static Kind, meter: Arc<WorkMeter>) -> Self {
        Self { function, kind, meter, pace: Arc::default(), last: Mutex::default() }
    }

    /// Returns the function without its bound.
    pub(super) fn function(&self) -> Arc<ScalarUDF> {
        self.function.clone()
    }

    /// Returns the pace of the calls.
    pub(super) fn pace(&self) -> Arc<Pace> {
        self.pace.clone()
    }

    fn total(&self, arguments: &Arguments, rows: usize) -> Total {
        let cost = (self.kind.estimate)(arguments);
        let mut total = Total { row: Cost::default(), bytes: 0, searches: 0, pieces: vec![0] };
        if arguments.are_constant() {
            total.row = cost(0);
            (total.bytes, total.searches) = (total.row.bytes, total.row.searches);
            return total;
        }
        let mut work = 0_u64;
        for row in 0..rows {
            let of_row = cost(row);
            total.row = total.row.max(&of_row);
            total.bytes = total.bytes.saturating_add(of_row.bytes);
            total.searches = total.searches.saturating_add(of_row.searches);
            let of_row = of_row.time_in_all();
            work = work.saturating_add(of_row);
            if work > WORK_AT_ONCE && row > 0 {
                total.pieces.push(row);
                work = of_row;
            }
        }
        total
    }

    fn run(&self, args: ScalarFunctionArgs, total: &Total) -> Result<ColumnarValue> {
        self.check_row(&total.row)?;
        let name = self.name();
        if !self.meter.runs() && total.bytes > PLANNED_ROWS_BYTES {
            return Err(refused(format!(
                "calls of `{name}` in a filter on partition columns would take too much memory"
            )));
        }
        self.counted(total.bytes, || self.in_pieces(args, total))
    }

    /// Refuses a value that is too large, or takes too long.
    fn check_row(&self, row: &Cost) -> Result<()> {
        let name = self.name();
        if row.made > MOST_MADE {
            return Err(refused(format!(
                "a call of `{name}` would create a value of {} characters or items, and the limit is {MOST_MADE}",
                row.made
            )));
        }
        if row.work > MOST_WORK {
            return Err(refused(format!("a call of `{name}` would take too long for one row: shorten its arguments")));
        }
        self.meter.check()
    }

    /// Reserves memory for a result, and calls the function. The result is often smaller than estimated, and then keeps
    /// less. Operators that collect rows account for these rows.
    fn counted(&self, bytes: u64, call: impl FnOnce() -> Result<ColumnarValue>) -> Result<ColumnarValue> {
        let bytes = if bytes < COUNTED { 0 } else { usize::try_from(bytes).unwrap_or(usize::MAX) };
        *lock(&self.last) = None;
        let reservation = self.meter.reserve(self.name(), bytes)?;
        let result = call()?;
        if let Some(reservation) = &reservation {
            let actual = match &result {
                ColumnarValue::Array(array) => array.get_array_memory_size(),
                ColumnarValue::Scalar(scalar) => scalar.size(),
            };
            reservation.resize(bytes.min(actual));
        }
        *lock(&self.last) = reservation;
        Ok(result)
    }

    /// Calls the function once for constant arguments.
    fn once(&self, mut args: ScalarFunctionArgs, total: &Total) -> Result<ColumnarValue> {
        args.number_rows = 1;
        match self.invoke(args, total)? {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)),
            scalar @ ColumnarValue::Scalar(_) => Ok(scalar),
        }
    }

    /// Calls the function for some rows after the other, and checks the deadline in between.
    fn in_pieces(&self, args: ScalarFunctionArgs, total: &Total) -> Result<ColumnarValue> {
        let pieces = &total.pieces;
        if pieces.len() < 2 {
            return self.invoke(args, total);
        }
        let rows = args.number_rows;
        let ends = pieces.iter().skip(1).copied().chain([rows]);
        let mut results: Vec<ArrayRef> = Vec::with_capacity(pieces.len());
        for (from, to) in pieces.iter().copied().zip(ends) {
            self.meter.check()?;
            let slice = |value: &ColumnarValue| match value {
                ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(from, to - from)),
                scalar @ ColumnarValue::Scalar(_) => scalar.clone(),
            };
            let piece = ScalarFunctionArgs {
                args: args.args.iter().map(slice).collect(),
                arg_fields: args.arg_fields.clone(),
                number_rows: to - from,
                return_field: args.return_field.clone(),
                config_options: args.config_options.clone(),
            };
            results.push(self.invoke(piece, total)?.into_array(to - from)?);
        }
        let results: Vec<&dyn Array> = results.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(concat(&results)?))
    }

    /// Calls the function, or runs our own search in its place.
    fn invoke(&self, args: ScalarFunctionArgs, total: &Total) -> Result<ColumnarValue> {
        match self.kind.search {
            Some(search) if total.searches > MOST_UNCHECKED => {
                let (rows, to) = (args.number_rows, args.return_field.data_type());
                search(&Arguments::of(&args.args)?, rows, to, &self.meter).map(ColumnarValue::Array)
            }
            _ => self.function.invoke_with_args(args),
        }
    }
}

fn refused(what: String) -> DataFusionError {
    into_datafusion(Error::new(ErrorKind::ResourceExhausted, what))
}

impl PartialEq for BoundedFunction {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function
    }
}

impl Eq for BoundedFunction {}

impl Hash for BoundedFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.hash(state);
    }
}

impl ScalarUDFImpl for BoundedFunction {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.function.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.return_type(types)
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let function = Arc::new(self.function.inner().with_updated_config(config)?);
        Some(Self::new(function, self.kind, self.meter.clone()).into())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let field = self.function.return_field_from_args(args)?;
        match beyond_limits(field.data_type()) {
            Some(limits) => {
                let what = format!("a call of `{}` would return a type that {limits}", self.name());
                Err(into_datafusion(Error::new(ErrorKind::InvalidQuery, what)))
            }
            None => Ok(field),
        }
    }

    fn is_strict(&self) -> bool {
        self.function.is_strict()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if args.number_rows == 0 {
            return self.function.invoke_with_args(args);
        }
        let arguments = Arguments::of(&args.args)?;
        let total = self.total(&arguments, args.number_rows);
        self.pace.set(&total.row, args.number_rows);
        if !arguments.are_constant() {
            return self.run(args, &total);
        }
        if !self.meter.runs() && !self.meter.plans(total.bytes, total.row.time_in_all()) {
            return exec_err!("`{}` of large constants runs with the query, not before", self.name());
        }
        self.check_row(&total.row)?;
        self.counted(total.bytes, || self.once(args, &total))
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.function.simplify(args, info)
    }

    fn short_circuits(&self) -> bool {
        self.function.short_circuits()
    }

    fn conditional_arguments<'a>(&self, args: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.function.conditional_arguments(args)
    }

    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        self.function.evaluate_bounds(inputs)
    }

    fn propagate_constraints(&self, interval: &Interval, inputs: &[&Interval]) -> Result<Option<Vec<Interval>>> {
        self.function.propagate_constraints(interval, inputs)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.function.output_ordering(inputs)
    }

    fn preserves_lex_ordering(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.function.preserves_lex_ordering(inputs)
    }

    fn strictly_order_preserving(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.function.strictly_order_preserving(inputs)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(types)
    }

    fn struct_field_mapping(&self, literals: &[Option<ScalarValue>]) -> Option<StructFieldMapping> {
        self.function.struct_field_mapping(literals)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }

    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        self.function.placement(args)
    }
}
