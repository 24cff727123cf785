package main

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"portolan.test/clients/internal/report"
)

var (
	integer  = arrow.PrimitiveTypes.Int64
	text     = arrow.BinaryTypes.String
	integers = arrow.NewSchema([]arrow.Field{{Name: "0", Type: integer, Nullable: true}}, nil)
)

func fields(types ...arrow.DataType) *arrow.Schema {
	var made []arrow.Field
	for index, kind := range types {
		made = append(made, arrow.Field{Name: fmt.Sprint(index), Type: kind, Nullable: true})
	}
	return arrow.NewSchema(made, nil)
}

// bound checks the rows of a query with one batch of parameters.
func (s *session) bound(sql string, schema *arrow.Schema, json string, rows ...string) error {
	values, err := batch(schema, json)
	if err != nil {
		return err
	}
	defer values.Release()
	answer, err := s.prepared(sql, values)
	return same(sql, answer, err, rows)
}

func parameters(s *session) error {
	return errors.Join(
		s.bound("SELECT n_name FROM geo.places.nation WHERE n_nationkey = ? OR n_name = ? ORDER BY 1",
			fields(integer, text), `[{"0": 3, "1": "CHINA"}]`, "CANADA", "CHINA"),
		s.bound("SELECT n_name FROM geo.places.nation WHERE n_nationkey = $2 AND n_name = $1",
			fields(text, integer), `[{"0": "CANADA", "1": 3}]`, "CANADA"),
		s.bound("SELECT n_name /* ? */ FROM geo.places.nation WHERE n_nationkey = ? AND n_name <> '?' -- ?",
			integers, `[{"0": 3}]`, "CANADA"),
		s.bound("SELECT CAST(? AS BIGINT) + 1 AS next", integers, `[{"0": 41}]`, "42"),
		s.bound("SELECT n_name FROM geo.places.nation WHERE n_nationkey IN (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ORDER BY n_nationkey DESC LIMIT 1",
			fields(integer, integer, integer, integer, integer, integer, integer, integer, integer, integer, integer, integer),
			`[{"0": 0, "1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6, "7": 7, "8": 8, "9": 9, "10": 10, "11": 11}]`, "IRAQ"),
		s.bound("SELECT count(*) FROM geo.places.nation WHERE n_name = ?", fields(text), `[{"0": null}]`, "0"),
		parameterSchema(s),
	)
}

// parameterSchema checks the server's types of parameters that are not bound yet.
func parameterSchema(s *session) error {
	statement, err := s.statement("SELECT n_name FROM geo.places.nation WHERE n_nationkey = ? AND n_name = ?")
	if err != nil {
		return err
	}
	defer statement.Close()
	if err := statement.Prepare(s.context); err != nil {
		return err
	}
	schema, err := statement.GetParameterSchema()
	if err != nil {
		return err
	}
	fits := schema.NumFields() == 2 && arrow.IsInteger(schema.Field(0).Type.ID()) && schema.Field(1).Type.ID() == arrow.STRING
	return report.Expect(fits, "an integer and a text, got %s", schema)
}

func limitParameter(s *session) error {
	return errors.Join(
		s.bound("SELECT n_name FROM geo.places.nation ORDER BY n_nationkey LIMIT ?", integers, `[{"0": 2}]`, "ALGERIA", "ARGENTINA"),
		s.bound("SELECT n_name FROM geo.places.nation ORDER BY n_nationkey LIMIT ? OFFSET ?",
			fields(integer, integer), `[{"0": 1, "1": 3}]`, "CANADA"),
	)
}

// parameterBatches binds several rows to one query, which runs for each and returns all rows.
func parameterBatches(s *session) error {
	return s.bound("SELECT n_name FROM geo.places.nation WHERE n_nationkey = ?",
		integers, `[{"0": 3}, {"0": 18}, {"0": 99}, {"0": 3}]`, "CANADA", "CHINA", "CANADA")
}

// preparedReuse runs one prepared statement several times, with new values and without.
func preparedReuse(s *session) error {
	statement, err := s.statement("SELECT n_name FROM geo.places.nation WHERE n_nationkey = ?")
	if err != nil {
		return err
	}
	defer statement.Close()
	if err := statement.Prepare(s.context); err != nil {
		return err
	}
	for key, name := range []string{"ALGERIA", "ARGENTINA", "BRAZIL", "CANADA"} {
		values, err := batch(integers, fmt.Sprintf(`[{"0": %d}]`, key))
		if err != nil {
			return err
		}
		defer values.Release()
		if err := statement.Bind(s.context, values); err != nil {
			return err
		}
		for range 2 {
			answer, err := s.run(statement)
			if err := same("prepared", answer, err, []string{name}); err != nil {
				return err
			}
		}
	}
	return nil
}
