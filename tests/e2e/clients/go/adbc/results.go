package main

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-adbc/go/adbc"
	"github.com/apache/arrow-go/v18/arrow"

	"portolan.test/clients/internal/report"
)

// types checks a value of each type, as text and with its Arrow type.
func types(s *session) error {
	var failures []error
	for _, step := range []struct{ sql, kind, text string }{
		{"CAST(1 AS TINYINT)", "int8", "1"},
		{"CAST(-2 AS SMALLINT)", "int16", "-2"},
		{"CAST(3 AS INT)", "int32", "3"},
		{"CAST(4 AS BIGINT)", "int64", "4"},
		{"CAST(5 AS BIGINT UNSIGNED)", "uint64", "5"},
		{"CAST(1.5 AS REAL)", "float32", "1.5"},
		{"CAST(2.5 AS DOUBLE)", "float64", "2.5"},
		{"CAST('1234.56' AS DECIMAL(15, 2))", "decimal(15, 2)", "1234.56"},
		{"TRUE", "bool", "true"},
		{"'Übermut'", "utf8", "Übermut"},
		{"X'00ff'", "binary", "AP8="},
		{"DATE '2024-02-29'", "date32", "2024-02-29"},
		{"TIME '12:34:56'", "time64[ns]", "12:34:56.000000000"},
		{"TIMESTAMP '2024-02-29 12:34:56.789'", "timestamp[us]", "2024-02-29T12:34:56.789"},
		{"arrow_cast('2024-02-29T12:00:00Z', 'Timestamp(Microsecond, Some(\"+00:00\"))')", "timestamp[us, tz=+00:00]", "2024-02-29T12:00:00Z"},
		{"arrow_cast('view', 'Utf8View')", "utf8", "view"},
		{"CAST(NULL AS INT)", "int32", "(null)"},
		{"[1, 2, NULL]", "list<item: int64, nullable>", "[1,2,null]"},
		{"named_struct('a', 1, 'b', 'x')", "struct<a: int64 nullable, b: utf8 nullable>", `{"a":1,"b":"x"}`},
		{"INTERVAL '1' MONTH", "month_day_nano_interval", `{"months":1,"days":0,"nanoseconds":0}`},
	} {
		answer, err := s.query("SELECT " + step.sql + " AS v")
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", step.sql, err))
			continue
		}
		kind := answer.schema.Field(0).Type.String()
		if kind != step.kind || len(answer.rows) != 1 || answer.rows[0] != step.text {
			failures = append(failures, fmt.Errorf("%s: expected %s %q, got %s %q", step.sql, step.kind, step.text, kind, answer.rows))
		}
	}
	return errors.Join(failures...)
}

// schemas compares the four ways to read a result's schema.
func schemas(s *session) error {
	for _, sql := range []string{
		"SELECT n_nationkey, n_name, n_regionkey, n_comment FROM geo.places.nation",
		"SELECT min(n_name) AS least, max(n_nationkey) AS most, count(*) AS n FROM geo.places.nation",
		"SELECT l_shipdate, sum(l_extendedprice * (1 - l_discount)) AS revenue FROM sales.orders.lineitem GROUP BY l_shipdate ORDER BY 1 LIMIT 3",
		"SELECT * FROM portolan.mesh.ports",
		"SELECT 1 AS a, NULL AS b, 'x' AS c",
	} {
		if err := oneSchema(s, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

func oneSchema(s *session, sql string) error {
	statement, err := s.statement(sql)
	if err != nil {
		return err
	}
	defer statement.Close()
	told, err := statement.(adbc.StatementExecuteSchema).ExecuteSchema(s.context)
	if err != nil {
		return fmt.Errorf("GetSchema: %w", err)
	}
	planned, _, _, err := statement.ExecutePartitions(s.context)
	if err != nil {
		return fmt.Errorf("GetFlightInfo: %w", err)
	}
	answer, err := s.run(statement)
	if err != nil {
		return fmt.Errorf("DoGet: %w", err)
	}
	if err := statement.Prepare(s.context); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	prepared, err := statement.(adbc.StatementExecuteSchema).ExecuteSchema(s.context)
	if err != nil {
		return fmt.Errorf("prepared: %w", err)
	}
	for way, schema := range map[string]*arrow.Schema{"GetSchema": told, "GetFlightInfo": planned, "prepare": prepared} {
		if !schema.Equal(answer.schema) {
			return fmt.Errorf("%s says %s, DoGet %s", way, schema, answer.schema)
		}
	}
	return nil
}

func largeResults(s *session) error {
	answer, err := s.query("SELECT * FROM sales.orders.lineitem")
	if err != nil {
		return err
	}
	return report.Expect(len(answer.rows) == 60175, "60175 rows, got %d", len(answer.rows))
}

// partitions reads a large result in parts, each over another connection, like a cluster of readers.
func partitions(s *session) error {
	statement, err := s.statement("SELECT l_orderkey FROM sales.orders.lineitem")
	if err != nil {
		return err
	}
	defer statement.Close()
	schema, parts, _, err := statement.ExecutePartitions(s.context)
	if err != nil {
		return err
	}
	if err := report.Expect(parts.NumPartitions > 0 && schema.NumFields() == 1, "partitions of one column, got %d", parts.NumPartitions); err != nil {
		return err
	}
	rows := 0
	for _, part := range parts.PartitionIDs {
		reader, err := s.ReadPartition(s.context, part)
		if err != nil {
			return err
		}
		answer, err := read(reader)
		if err != nil {
			return err
		}
		rows += len(answer.rows)
	}
	return report.Expect(rows == 60175, "60175 rows, got %d", rows)
}

// poll runs a query incrementally: PollFlightInfo until the query is done, and its parts as they arrive.
func poll(s *session) error {
	statement, err := s.statement("SELECT n_name FROM geo.places.nation")
	if err != nil {
		return err
	}
	defer statement.Close()
	if err := statement.SetOption(adbc.OptionKeyIncremental, adbc.OptionValueEnabled); err != nil {
		return err
	}
	rows := 0
	for range 100 {
		_, parts, _, err := statement.ExecutePartitions(s.context)
		if err != nil {
			return err
		}
		if parts.NumPartitions == 0 {
			return report.Expect(rows == 25, "25 rows, got %d", rows)
		}
		for _, part := range parts.PartitionIDs {
			reader, err := s.ReadPartition(s.context, part)
			if err != nil {
				return err
			}
			answer, err := read(reader)
			if err != nil {
				return err
			}
			rows += len(answer.rows)
		}
	}
	return fmt.Errorf("expected an end of the polling")
}

func emptyResults(s *session) error {
	answer, err := s.query("SELECT n_name, n_nationkey FROM geo.places.nation WHERE n_nationkey < 0")
	if err != nil {
		return err
	}
	return report.Expect(len(answer.rows) == 0 && answer.schema.NumFields() == 2, "no rows of two columns, got %v", answer)
}

func duplicateNames(s *session) error {
	for sql, names := range map[string][2]string{
		"SELECT n.n_name, m.n_name FROM geo.places.nation n JOIN geo.places.nation m ON n.n_nationkey = m.n_nationkey WHERE n.n_nationkey = 3": {"n_name", "n_name"},
	} {
		answer, err := s.query(sql)
		if err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
		fields := answer.schema.Fields()
		if len(fields) != 2 || fields[0].Name != names[0] || fields[1].Name != names[1] || len(answer.rows) != 1 {
			return fmt.Errorf("%s: expected one row of %q, got %v", sql, names, answer)
		}
	}
	return nil
}
