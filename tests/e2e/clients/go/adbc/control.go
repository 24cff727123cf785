package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/apache/arrow-adbc/go/adbc"
	"github.com/apache/arrow-adbc/go/adbc/driver/flightsql"

	"portolan.test/clients/internal/report"
)

// endless takes far longer than any test waits.
const endless = "SELECT count(*) FROM sales.orders.lineitem a, sales.orders.lineitem b, sales.orders.lineitem c " +
	"WHERE a.l_comment || b.l_comment < c.l_comment"

// soon is the time within which a cancelled query must end.
const soon = 20 * time.Second

func errorsTold(s *session) error {
	check := func(sql string, code adbc.Status, texts ...string) error {
		_, err := s.query(sql)
		if told := isStatus(err, code, texts...); told != nil {
			return fmt.Errorf("%s: %w", sql, told)
		}
		return nil
	}
	return errors.Join(
		check("SELEC 1", adbc.StatusInvalidArgument),
		check("SELECT n_nam FROM geo.places.nation", adbc.StatusInvalidArgument, "n_nam", "n_name"),
		check("SELECT * FROM geo.places.nations", adbc.StatusNotFound, "nations", "geo.places.nation"),
		check("SELECT CAST('x' AS INT)", adbc.StatusInvalidArgument),
		s.answers("SELECT 1", "1"),
	)
}

func sessionOptions(s *session) error {
	options := s.Connection.(adbc.GetSetOptions)
	if _, err := options.GetOption(flightsql.OptionSessionOptions); err != nil {
		return err
	}
	if err := options.SetOption(flightsql.OptionSessionOptionPrefix+"catalog", "geo"); err != nil {
		return err
	}
	catalog, err := options.GetOption(flightsql.OptionSessionOptionPrefix + "catalog")
	if err != nil {
		return err
	}
	if err := report.Expect(catalog == "geo", "geo, got %s", catalog); err != nil {
		return err
	}
	if err := options.SetOption(flightsql.OptionEraseSessionOptionPrefix+"catalog", ""); err != nil {
		return err
	}
	unknown := options.SetOption(flightsql.OptionSessionOptionPrefix+"no_such_option", "x")
	return isStatus(unknown, adbc.StatusInvalidArgument, "no_such_option")
}

func sessionCatalog(s *session) error {
	options := s.Connection.(adbc.GetSetOptions)
	if err := options.SetOption(adbc.OptionKeyCurrentCatalog, "geo"); err != nil {
		return err
	}
	if err := options.SetOption(adbc.OptionKeyCurrentDbSchema, "places"); err != nil {
		return err
	}
	catalog, err := options.GetOption(adbc.OptionKeyCurrentCatalog)
	if err != nil {
		return err
	}
	schema, err := options.GetOption(adbc.OptionKeyCurrentDbSchema)
	if err != nil {
		return err
	}
	return errors.Join(
		report.Expect(catalog == "geo" && schema == "places", "geo and places, got %s and %s", catalog, schema),
		s.answers("SELECT count(*) FROM nation", "25"),
		s.answers("SELECT count(*) FROM places.nation", "25"),
		s.answers("SELECT count(*) FROM sales.customers.customer", "1500"),
	)
}

// cancel cancels a query while it is planned or starts, and another one while its rows are read.
func cancel(s *session) error {
	for _, wait := range []time.Duration{50 * time.Millisecond, 2 * time.Second} {
		statement, err := s.statement(endless)
		if err != nil {
			return err
		}
		defer statement.Close()
		ctx, stop := context.WithCancel(s.context)
		defer stop()
		time.AfterFunc(wait, stop)
		started := time.Now()
		reader, _, err := statement.ExecuteQuery(ctx)
		if err == nil {
			_, err = read(reader)
		}
		if err == nil {
			return fmt.Errorf("expected a cancelled query")
		}
		if time.Since(started) > soon {
			return fmt.Errorf("expected an end within %s, got it after %s", soon, time.Since(started))
		}
		if !strings.Contains(strings.ToLower(err.Error()), "cancel") {
			return fmt.Errorf("expected word of the cancelling, got: %w", err)
		}
	}
	return s.answers("SELECT 1", "1")
}

// timeouts lets the driver's own timeouts expire, which are gRPC deadlines.
func timeouts(s *session) error {
	statement, err := s.statement(endless)
	if err != nil {
		return err
	}
	defer statement.Close()
	for _, option := range []string{flightsql.OptionTimeoutQuery, flightsql.OptionTimeoutFetch} {
		if err := statement.SetOption(option, "2"); err != nil {
			return err
		}
	}
	started := time.Now()
	_, err = s.run(statement)
	if told := isStatus(err, adbc.StatusTimeout); told != nil {
		return told
	}
	if time.Since(started) > soon {
		return fmt.Errorf("expected an end within %s, got it after %s", soon, time.Since(started))
	}
	return s.answers("SELECT 1", "1")
}
