package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/apache/arrow-adbc/go/adbc"
	"github.com/apache/arrow-adbc/go/adbc/driver/flightsql"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// session is one connection, and the context of its calls.
type session struct {
	adbc.Connection
	database adbc.Database
	context  context.Context
	stop     context.CancelFunc
}

func open(options map[string]string) (*session, error) {
	database, err := flightsql.NewDriver(memory.DefaultAllocator).NewDatabase(options)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	connection, err := database.Open(ctx)
	if err != nil {
		stop()
		return nil, err
	}
	return &session{Connection: connection, database: database, context: ctx, stop: stop}, nil
}

func (s *session) close() {
	s.Close()
	s.database.Close()
	s.stop()
}

// result is a complete result: its schema, and its rows as strings.
type result struct {
	schema *arrow.Schema
	rows   []string
}

// read reads a result to its end. A row's values are separated by `|`.
func read(reader array.RecordReader) (result, error) {
	defer reader.Release()
	answer := result{schema: reader.Schema()}
	for reader.Next() {
		batch := reader.RecordBatch()
		for row := 0; row < int(batch.NumRows()); row++ {
			values := make([]string, batch.NumCols())
			for column := range values {
				values[column] = batch.Column(column).ValueStr(row)
			}
			answer.rows = append(answer.rows, strings.Join(values, "|"))
		}
	}
	return answer, reader.Err()
}

// statement creates a statement of SQL, which the caller closes.
func (s *session) statement(sql string) (adbc.Statement, error) {
	statement, err := s.NewStatement()
	if err != nil {
		return nil, err
	}
	return statement, statement.SetSqlQuery(sql)
}

// query runs SQL without preparing it.
func (s *session) query(sql string) (result, error) {
	statement, err := s.statement(sql)
	if err != nil {
		return result{}, err
	}
	defer statement.Close()
	return s.run(statement)
}

func (s *session) run(statement adbc.Statement) (result, error) {
	reader, _, err := statement.ExecuteQuery(s.context)
	if err != nil {
		return result{}, err
	}
	return read(reader)
}

// prepared runs SQL with a batch of bound parameters.
func (s *session) prepared(sql string, batch arrow.RecordBatch) (result, error) {
	statement, err := s.statement(sql)
	if err != nil {
		return result{}, err
	}
	defer statement.Close()
	if err := statement.Prepare(s.context); err != nil {
		return result{}, err
	}
	if err := statement.Bind(s.context, batch); err != nil {
		return result{}, err
	}
	return s.run(statement)
}

// update runs SQL, and returns the number of changed rows.
func (s *session) update(sql string) (int64, error) {
	statement, err := s.statement(sql)
	if err != nil {
		return 0, err
	}
	defer statement.Close()
	return statement.ExecuteUpdate(s.context)
}

// answers returns an error that names the query if its rows differ.
func (s *session) answers(sql string, rows ...string) error {
	answer, err := s.query(sql)
	return same(sql, answer, err, rows)
}

func same(sql string, answer result, err error, rows []string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	if strings.Join(answer.rows, "\n") != strings.Join(rows, "\n") {
		return fmt.Errorf("%s: expected %q, got %q", sql, rows, answer.rows)
	}
	return nil
}

// batch returns a batch of JSON rows.
func batch(schema *arrow.Schema, json string) (arrow.RecordBatch, error) {
	made, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, strings.NewReader(json))
	return made, err
}

// status returns the ADBC code of an error.
func status(err error) adbc.Status {
	var told adbc.Error
	if errors.As(err, &told) {
		return told.Code
	}
	return adbc.StatusOK
}

// isStatus returns an error unless `err` has this code and contains the texts.
func isStatus(err error, code adbc.Status, texts ...string) error {
	if err == nil {
		return fmt.Errorf("expected %s and %q, got no error", code, texts)
	}
	if status(err) != code {
		return fmt.Errorf("expected %s, got %s: %w", code, status(err), err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			return fmt.Errorf("expected %q in: %w", text, err)
		}
	}
	return nil
}
