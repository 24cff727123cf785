package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow-adbc/go/adbc"
	"github.com/apache/arrow-go/v18/arrow"

	"portolan.test/clients/internal/report"
)

var people = arrow.NewSchema([]arrow.Field{
	{Name: "id", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true},
}, nil)

// counts checks how many rows an update changes.
func (s *session) counts(sql string, rows int64) error {
	changed, err := s.update(sql)
	if err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return report.Expect(changed == rows, "%d rows of %s, got %d", rows, sql, changed)
}

// updates makes a table of the session, fills it, changes it, joins it and drops it.
func updates(s *session) error {
	if _, err := s.update("CREATE TABLE go_people (id BIGINT, name VARCHAR)"); err != nil {
		return err
	}
	err := errors.Join(
		s.counts("INSERT INTO go_people VALUES (1, 'Ada'), (2, 'Grace'), (3, 'Edsger')", 3),
		s.counts("UPDATE go_people SET name = 'Barbara' WHERE id >= 2", 2),
		s.counts("DELETE FROM go_people WHERE id = 3", 1),
		s.counts("DELETE FROM go_people WHERE id = 99", 0),
		s.answers("SELECT id, name FROM go_people ORDER BY id", "1|Ada", "2|Barbara"),
		s.answers("SELECT name, n_name FROM go_people JOIN geo.places.nation ON n_nationkey = id ORDER BY id", "Ada|ARGENTINA", "Barbara|BRAZIL"),
		insertBatch(s),
		unfetched(s),
	)
	if err != nil {
		return err
	}
	if _, err := s.update("DROP TABLE go_people"); err != nil {
		return err
	}
	_, err = s.query("SELECT * FROM go_people")
	return report.Says(err, "go_people")
}

// insertBatch binds several rows to one INSERT.
func insertBatch(s *session) error {
	statement, err := s.statement("INSERT INTO go_people VALUES (?, ?)")
	if err != nil {
		return err
	}
	defer statement.Close()
	if err := statement.Prepare(s.context); err != nil {
		return err
	}
	values, err := batch(fields(integer, text), `[{"0": 10, "1": "x"}, {"0": 11, "1": null}, {"0": 12, "1": "z"}]`)
	if err != nil {
		return err
	}
	defer values.Release()
	if err := statement.Bind(s.context, values); err != nil {
		return err
	}
	changed, err := statement.ExecuteUpdate(s.context)
	if err != nil {
		return err
	}
	return errors.Join(
		report.Expect(changed == 3, "3 rows of the bound INSERT, got %d", changed),
		s.answers("SELECT count(*), count(name) FROM go_people WHERE id >= 10", "3|2"),
	)
}

// unfetched runs DML as a query: it runs once, whether its result is read or not.
func unfetched(s *session) error {
	if _, err := s.query("INSERT INTO go_people VALUES (20, 'once')"); err != nil {
		return err
	}
	return s.answers("SELECT count(*) FROM go_people WHERE id = 20", "1")
}

// load ingests rows into a table.
func (s *session) load(table, mode, json string, options map[string]string) (int64, error) {
	statement, err := s.NewStatement()
	if err != nil {
		return 0, err
	}
	defer statement.Close()
	if err := statement.SetOption(adbc.OptionKeyIngestTargetTable, table); err != nil {
		return 0, err
	}
	if err := statement.SetOption(adbc.OptionKeyIngestMode, mode); err != nil {
		return 0, err
	}
	for key, value := range options {
		if err := statement.SetOption(key, value); err != nil {
			return 0, err
		}
	}
	rows, err := batch(people, json)
	if err != nil {
		return 0, err
	}
	defer rows.Release()
	if err := statement.Bind(s.context, rows); err != nil {
		return 0, err
	}
	return statement.ExecuteUpdate(s.context)
}

// loads checks the number of rows that an ingest stores.
func (s *session) loads(table, mode, json string, rows int64, options map[string]string) error {
	taken, err := s.load(table, mode, json, options)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", mode, table, err)
	}
	return report.Expect(taken == rows, "%d rows by %s of %s, got %d", rows, mode, table, taken)
}

func ingest(s *session) error {
	const two, one = `[{"id": 1, "name": "Ada"}, {"id": 2, "name": null}]`, `[{"id": 3, "name": "Grace"}]`
	counted := func(rows string) error { return s.answers("SELECT count(*) FROM go_list", rows) }
	_, missing := s.load("go_missing", adbc.OptionValueIngestModeAppend, one, nil)
	if err := errors.Join(
		s.loads("go_list", adbc.OptionValueIngestModeCreate, two, 2, nil), counted("2"),
		s.loads("go_list", adbc.OptionValueIngestModeAppend, one, 1, nil), counted("3"),
		s.loads("go_list", adbc.OptionValueIngestModeCreateAppend, one, 1, nil), counted("4"),
		s.loads("go_list", adbc.OptionValueIngestModeReplace, two, 2, nil), counted("2"),
		s.answers("SELECT n_name FROM go_list JOIN geo.places.nation ON n_nationkey = id ORDER BY 1", "ARGENTINA", "BRAZIL"),
		s.loads("go_temporary", adbc.OptionValueIngestModeCreate, one, 1, map[string]string{adbc.OptionValueIngestTemporary: adbc.OptionValueEnabled}),
		s.answers("SELECT name FROM go_temporary", "Grace"),
		report.Says(missing, "go_missing"),
	); err != nil {
		return err
	}
	_, twice := s.load("go_list", adbc.OptionValueIngestModeCreate, one, nil)
	if err := errors.Join(report.Says(twice, "go_list"), counted("2")); err != nil {
		return err
	}
	_, refused := s.load("nation", adbc.OptionValueIngestModeAppend, one, map[string]string{
		adbc.OptionValueIngestTargetCatalog: "geo", adbc.OptionValueIngestTargetDBSchema: "places"})
	// A gateway does not check the rights first: only the owner accepts rows.
	return isStatus(refused, adbc.StatusNotImplemented, "nation", "owner")
}

// ingestPort appends to a port that accepts rows.
func (s settings) ingestPort() error {
	session, err := s.open()
	if err != nil {
		return err
	}
	defer session.close()
	parts := strings.Split(s.writable, ".")
	if len(parts) != 3 {
		return fmt.Errorf("-writable is not domain.product.port")
	}
	before, err := session.query("SELECT count(*) FROM " + s.writable)
	if err != nil {
		return err
	}
	options := map[string]string{adbc.OptionValueIngestTargetCatalog: parts[0], adbc.OptionValueIngestTargetDBSchema: parts[1]}
	if err := session.loads(parts[2], adbc.OptionValueIngestModeAppend, `[{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}]`, 2, options); err != nil {
		return err
	}
	return session.answers(fmt.Sprintf("SELECT count(*) - %s FROM %s", before.rows[0], s.writable), "2")
}

// transactions are refused, because the server reports that it has none.
func transactions(s *session) error {
	off := s.Connection.(adbc.PostInitOptions).SetOption(adbc.OptionKeyAutoCommit, adbc.OptionValueDisabled)
	return errors.Join(
		isStatus(off, adbc.StatusNotImplemented),
		isStatus(s.Commit(s.context), adbc.StatusInvalidState),
		isStatus(s.Rollback(s.context), adbc.StatusInvalidState),
		s.answers("SELECT 1", "1"),
	)
}
