// Go's database/sql over ADBC's driver for Flight SQL, unmodified, feature by feature. Its connection string consists
// of `key=value` pairs separated by `;`, so no password can contain a semicolon.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	_ "github.com/apache/arrow-adbc/go/adbc/sqldriver/flightsql"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"portolan.test/clients/internal/report"
)

// endless takes far longer than any test waits.
const endless = "SELECT count(*) FROM sales.orders.lineitem a, sales.orders.lineitem b, sales.orders.lineitem c " +
	"WHERE a.l_comment || b.l_comment < c.l_comment"

func main() {
	only := report.Only()
	var at report.Servers
	at.Declare()
	flag.Parse()
	text := func(file string) string {
		read, err := os.ReadFile(file)
		if err != nil && file != "" {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return string(read)
	}

	source := "uri=" + at.URL + ";adbc.flight.sql.rpc.with_cookie_middleware=true"
	if at.User != "" {
		source += ";username=" + at.User + ";password=" + at.Password
	}
	var checks []report.Check
	connects := func(feature, source string) {
		checks = append(checks, report.Check{Feature: feature, Try: func() error {
			return with(source, func(ctx context.Context, db *sql.Conn) error { return answers(ctx, db, "SELECT 1", "1") })
		}})
	}
	if at.Anonymous != "" {
		connects("connect-anonymous", "uri="+at.Anonymous)
	}
	if at.User != "" {
		connects("connect-password", source)
	}
	if at.Token != "" {
		connects("connect-token", "uri="+at.URL+";adbc.flight.sql.authorization_header=Bearer "+at.Token)
		connects("connect-token-as-password", "uri="+at.URL+";username="+at.TokenUser+";password="+at.Token)
	}
	trust := ";adbc.flight.sql.client_option.tls_root_certs=" + text(at.CA)
	if at.TLS != "" {
		connects("connect-tls", "uri="+at.TLS+trust+";username="+at.User+";password="+at.Password)
	}
	if at.MTLS != "" {
		shown := ";adbc.flight.sql.client_option.mtls_cert_chain=" + text(at.Cert) + ";adbc.flight.sql.client_option.mtls_private_key=" + text(at.Key)
		connects("connect-mtls", "uri="+at.MTLS+trust+shown)
	}
	for _, feature := range []struct {
		name string
		try  func(context.Context, *sql.Conn) error
	}{
		{"browse", browse},
		{"types", types},
		{"parameters", parameters},
		{"limit-parameter", limitParameter},
		{"prepared-reuse", preparedReuse},
		{"large-results", largeResults},
		{"empty-results", emptyResults},
		{"duplicate-names", duplicateNames},
		{"updates", updates},
		{"transactions", transactions},
		{"session-catalog", sessionCatalog},
		{"errors", errorsTold},
		{"cancel", cancel},
		{"timeouts", timeouts},
	} {
		checks = append(checks, report.Check{Feature: feature.name, Try: func() error { return with(source, feature.try) }})
	}
	report.Run("database/sql-go", "github.com/apache/arrow-adbc/go/adbc", *only, checks)
}

// with runs a check over one connection of a pool.
func with(source string, try func(context.Context, *sql.Conn) error) error {
	pool, err := sql.Open("flightsql", source)
	if err != nil {
		return err
	}
	defer pool.Close()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	connection, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer connection.Close()
	return try(ctx, connection)
}

// collect reads rows to their end, each as a string with `|` between its values.
func collect(rows *sql.Rows, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var collected []string
	for rows.Next() {
		values, places := make([]any, len(columns)), make([]any, len(columns))
		for index := range values {
			places[index] = &values[index]
		}
		if err := rows.Scan(places...); err != nil {
			return nil, err
		}
		texts := make([]string, len(columns))
		for index, value := range values {
			texts[index] = fmt.Sprint(value)
		}
		collected = append(collected, strings.Join(texts, "|"))
	}
	return collected, rows.Err()
}

func same(query string, got []string, err error, rows []string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	return report.Expect(strings.Join(got, "\n") == strings.Join(rows, "\n"), "%q of %s, got %q", rows, query, got)
}

func answers(ctx context.Context, db *sql.Conn, query string, rows ...string) error {
	got, err := collect(db.QueryContext(ctx, query))
	return same(query, got, err, rows)
}

// prepared checks the rows of a prepared query. The values must have exactly the Go types that the server reports.
func prepared(ctx context.Context, db *sql.Conn, query string, values []any, rows ...string) error {
	statement, err := db.PrepareContext(ctx, query)
	if err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	defer statement.Close()
	got, err := collect(statement.QueryContext(ctx, values...))
	return same(query, got, err, rows)
}

func browse(ctx context.Context, db *sql.Conn) error {
	return errors.Join(
		answers(ctx, db, "SELECT table_name FROM information_schema.tables WHERE table_catalog = 'geo' AND table_schema = 'places' ORDER BY 1", "nation", "region"),
		answers(ctx, db, "SELECT port FROM mesh.ports WHERE domain = 'geo' ORDER BY 1", "nation", "region"),
	)
}

func types(ctx context.Context, db *sql.Conn) error {
	var (
		small   int16
		large   int64
		single  float32
		double  float64
		truth   bool
		text    string
		bytes   []byte
		date    time.Time
		instant time.Time
		nothing sql.NullString
		decimal decimal128.Num
	)
	query := "SELECT CAST(-2 AS SMALLINT), CAST(4 AS BIGINT), CAST(1.5 AS REAL), CAST(2.5 AS DOUBLE), TRUE, 'Übermut', X'00ff', " +
		"DATE '2024-02-29', TIMESTAMP '2024-02-29 12:34:56', CAST(NULL AS VARCHAR), CAST('12.34' AS DECIMAL(10, 2))"
	if err := db.QueryRowContext(ctx, query).Scan(&small, &large, &single, &double, &truth, &text, &bytes, &date, &instant, &nothing, &decimal); err != nil {
		return err
	}
	got := fmt.Sprintln(small, large, single, double, truth, text, bytes, date.Format(time.DateOnly), instant.Format(time.DateTime), nothing.Valid, decimal.ToString(2))
	wanted := "-2 4 1.5 2.5 true Übermut [0 255] 2024-02-29 2024-02-29 12:34:56 false 12.34"
	return report.Expect(strings.TrimSpace(got) == wanted, "%s, got %s", wanted, got)
}

func parameters(ctx context.Context, db *sql.Conn) error {
	return errors.Join(
		prepared(ctx, db, "SELECT n_name FROM geo.places.nation WHERE n_name = ? OR n_name = ? ORDER BY 1", []any{"CHINA", "CANADA"}, "CANADA", "CHINA"),
		prepared(ctx, db, "SELECT n_name FROM geo.places.nation WHERE n_name = $2 AND n_name <> $1", []any{"CHINA", "CANADA"}, "CANADA"),
		prepared(ctx, db, "SELECT c_custkey FROM sales.customers.customer WHERE c_custkey = CAST(? AS BIGINT)", []any{int64(7)}, "7"),
		prepared(ctx, db, "SELECT count(*) FROM sales.orders.orders WHERE o_orderstatus = ? AND o_comment <> '?'", []any{"no"}, "0"),
	)
}

func limitParameter(ctx context.Context, db *sql.Conn) error {
	return prepared(ctx, db, "SELECT n_name FROM geo.places.nation ORDER BY n_nationkey LIMIT ?", []any{int64(2)}, "ALGERIA", "ARGENTINA")
}

func preparedReuse(ctx context.Context, db *sql.Conn) error {
	query, err := db.PrepareContext(ctx, "SELECT n_nationkey FROM geo.places.nation WHERE n_name = ?")
	if err != nil {
		return err
	}
	defer query.Close()
	for round := range 3 {
		for key, name := range []string{"ALGERIA", "ARGENTINA", "BRAZIL"} {
			got, err := collect(query.QueryContext(ctx, name))
			if err != nil && round+key > 0 && strings.Contains(err.Error(), "must set IngestTargetTable") {
				return report.Limit("the end of a prepared statement's rows closes the statement: prepare it again for each run")
			}
			if err := same("a prepared query", got, err, []string{fmt.Sprint(key)}); err != nil {
				return err
			}
		}
	}
	return nil
}

func largeResults(ctx context.Context, db *sql.Conn) error {
	got, err := collect(db.QueryContext(ctx, "SELECT l_orderkey, l_comment FROM sales.orders.lineitem"))
	if err != nil {
		return err
	}
	return report.Expect(len(got) == 60175, "60175 rows, got %d", len(got))
}

func emptyResults(ctx context.Context, db *sql.Conn) error {
	rows, err := db.QueryContext(ctx, "SELECT n_name, n_nationkey FROM geo.places.nation WHERE n_nationkey < 0")
	if err != nil {
		return err
	}
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	got, err := collect(rows, nil)
	return errors.Join(err, report.Expect(len(columns) == 2 && len(got) == 0, "no rows of two columns, got %q, %q", columns, got))
}

func duplicateNames(ctx context.Context, db *sql.Conn) error {
	return answers(ctx, db, "SELECT n.n_name, m.n_name FROM geo.places.nation n JOIN geo.places.nation m ON n.n_nationkey = m.n_regionkey WHERE m.n_nationkey = 3", "ARGENTINA|CANADA")
}

func updates(ctx context.Context, db *sql.Conn) error {
	if _, err := db.ExecContext(ctx, "CREATE TABLE go_sql (id BIGINT, name VARCHAR)"); err != nil {
		return err
	}
	counts := func(rows int64, query string, values ...any) error {
		changed, err := db.ExecContext(ctx, query, values...)
		if err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
		number, err := changed.RowsAffected()
		return errors.Join(err, report.Expect(number == rows, "%d rows of %s, got %d", rows, query, number))
	}
	return errors.Join(
		counts(2, "INSERT INTO go_sql VALUES (1, 'Ada'), (2, 'Grace')"),
		counts(1, "INSERT INTO go_sql VALUES (?, ?)", int64(3), "Edsger"),
		counts(1, "UPDATE go_sql SET name = ? WHERE id = ?", "Barbara", int64(2)),
		counts(1, "DELETE FROM go_sql WHERE id = ?", int64(3)),
		answers(ctx, db, "SELECT id, name FROM go_sql ORDER BY id", "1|Ada", "2|Barbara"),
		counts(0, "DROP TABLE go_sql"),
	)
}

// transactions are refused, because the server reports that it has none.
func transactions(ctx context.Context, db *sql.Conn) error {
	if _, err := db.BeginTx(ctx, nil); err == nil {
		return fmt.Errorf("expected that a transaction is refused")
	}
	return answers(ctx, db, "SELECT 1", "1")
}

// sessionCatalog sets the catalog by SQL. The `SET` and the query are calls of one connection.
func sessionCatalog(ctx context.Context, db *sql.Conn) error {
	for _, set := range []string{"SET catalog = 'geo'", "SET schema = 'places'"} {
		if _, err := db.ExecContext(ctx, set); err != nil {
			return fmt.Errorf("%s: %w", set, err)
		}
	}
	return errors.Join(answers(ctx, db, "SELECT count(*) FROM nation", "25"), answers(ctx, db, "SELECT count(*) FROM sales.customers.customer", "1500"))
}

func errorsTold(ctx context.Context, db *sql.Conn) error {
	_, syntax := collect(db.QueryContext(ctx, "SELEC 1"))
	_, column := collect(db.QueryContext(ctx, "SELECT n_nam FROM geo.places.nation"))
	_, port := db.PrepareContext(ctx, "SELECT * FROM geo.places.nations")
	_, late := collect(db.QueryContext(ctx, "SELECT CAST('x' AS INT)"))
	return errors.Join(
		report.Says(syntax, "SELEC"),
		report.Says(column, "n_nam", "n_name"),
		report.Says(port, "geo.places.nation"),
		report.Says(late, "x"),
		answers(ctx, db, "SELECT 1", "1"),
	)
}

// stopped runs the endless query until its context ends.
func stopped(ctx context.Context, db *sql.Conn, text string) error {
	started := time.Now()
	_, err := collect(db.QueryContext(ctx, endless))
	if told := report.Says(err, text); told != nil {
		return told
	}
	return report.Expect(time.Since(started) < 20*time.Second, "a prompt end, got it after %s", time.Since(started))
}

func cancel(ctx context.Context, db *sql.Conn) error {
	inner, stop := context.WithCancel(ctx)
	defer stop()
	time.AfterFunc(2*time.Second, stop)
	return errors.Join(stopped(inner, db, "cancel"), answers(ctx, db, "SELECT 1", "1"))
}

func timeouts(ctx context.Context, db *sql.Conn) error {
	inner, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	return errors.Join(stopped(inner, db, "deadline"), answers(ctx, db, "SELECT 1", "1"))
}
