package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-adbc/go/adbc"
	"github.com/apache/arrow-go/v18/arrow/array"

	"portolan.test/clients/internal/report"
)

// browse checks GetObjects at each depth, with and without filters.
func browse(s *session) error {
	domain, product, port, column := "geo", "places", "nation", "n_name"
	for _, step := range []struct {
		depth             adbc.ObjectDepth
		catalog, schema   *string
		table, field      *string
		wanted, forbidden []string
	}{
		{adbc.ObjectDepthCatalogs, nil, nil, nil, nil, []string{`"geo"`, `"sales"`, `"supply"`, `"portolan"`}, []string{`"places"`}},
		{adbc.ObjectDepthCatalogs, &domain, nil, nil, nil, []string{`"geo"`}, []string{`"sales"`}},
		{adbc.ObjectDepthDBSchemas, nil, nil, nil, nil, []string{`"places"`, `"orders"`, `"mesh"`}, []string{`"nation"`}},
		{adbc.ObjectDepthDBSchemas, nil, &product, nil, nil, []string{`"places"`}, []string{`"orders"`}},
		{adbc.ObjectDepthTables, nil, nil, nil, nil, []string{`"nation"`, `"lineitem"`, `"TABLE"`}, []string{`"n_name"`}},
		{adbc.ObjectDepthTables, &domain, &product, &port, nil, []string{`"nation"`}, []string{`"region"`, `"lineitem"`}},
		{adbc.ObjectDepthColumns, &domain, &product, &port, nil, []string{`"n_name"`, `"n_nationkey"`}, []string{`"r_name"`}},
		{adbc.ObjectDepthAll, &domain, &product, &port, &column, []string{`"n_name"`}, []string{`"n_nationkey"`}},
	} {
		reader, err := s.GetObjects(s.context, step.depth, step.catalog, step.schema, step.table, step.field, nil)
		if err != nil {
			return fmt.Errorf("depth %d: %w", step.depth, err)
		}
		found, err := read(reader)
		if err != nil {
			return fmt.Errorf("depth %d: %w", step.depth, err)
		}
		text := strings.Join(found.rows, "\n")
		for _, wanted := range step.wanted {
			// A catalog's name is in a column of its own, without quotes.
			if !strings.Contains(text, wanted) && !strings.Contains("\n"+text, "\n"+strings.Trim(wanted, `"`)+"|") {
				return fmt.Errorf("depth %d: expected %s in %s", step.depth, wanted, text)
			}
		}
		for _, forbidden := range step.forbidden {
			if strings.Contains(text, forbidden) || strings.Contains("\n"+text, "\n"+strings.Trim(forbidden, `"`)+"|") {
				return fmt.Errorf("depth %d: expected no %s in %s", step.depth, forbidden, text)
			}
		}
	}
	return nil
}

// metadataGetters checks the metadata of the server, the table types, and one table.
func metadataGetters(s *session) error {
	reader, err := s.GetInfo(s.context, nil)
	if err != nil {
		return err
	}
	info, err := read(reader)
	if err != nil {
		return err
	}
	if err := report.Expect(strings.Contains(strings.ToLower(strings.Join(info.rows, "\n")), "portolan"), "the server's name in %q", info.rows); err != nil {
		return err
	}
	if reader, err = s.GetTableTypes(s.context); err != nil {
		return err
	}
	kinds, err := read(reader)
	if err != nil {
		return err
	}
	if err := report.Expect(slices.Contains(kinds.rows, "TABLE"), "TABLE among %q", kinds.rows); err != nil {
		return err
	}
	domain, product := "geo", "places"
	schema, err := s.GetTableSchema(s.context, &domain, &product, "nation")
	if err != nil {
		return err
	}
	var names []string
	for _, field := range schema.Fields() {
		names = append(names, field.Name)
	}
	if err := same("nation", result{rows: names}, nil, []string{"n_nationkey", "n_name", "n_regionkey", "n_comment"}); err != nil {
		return err
	}
	_, err = s.GetTableSchema(s.context, &domain, &product, "nations")
	return isStatus(err, adbc.StatusNotFound)
}

// keys are not available: the driver leaves the constraints of GetObjects empty, and does not request them.
func keys(s *session) error {
	port := "nation"
	reader, err := s.GetObjects(s.context, adbc.ObjectDepthColumns, nil, nil, &port, nil, nil)
	if err != nil {
		return err
	}
	defer reader.Release()
	for reader.Next() {
		batch := reader.RecordBatch()
		for column := 0; column < int(batch.NumCols()); column++ {
			if list, is := batch.Column(column).(*array.List); is {
				for row := 0; row < list.Len(); row++ {
					if strings.Contains(list.ValueStr(row), "PRIMARY KEY") {
						return nil
					}
				}
			}
		}
	}
	if reader.Err() != nil {
		return reader.Err()
	}
	return report.Limit("the driver requests no keys")
}
