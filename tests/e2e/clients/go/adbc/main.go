// ADBC's driver for Flight SQL, unmodified, feature by feature. Features are tested at -url, as -user if one is given.
// Each way to connect is tested if its flags are given.
package main

import (
	"flag"

	"github.com/apache/arrow-adbc/go/adbc"
	"github.com/apache/arrow-adbc/go/adbc/driver/flightsql"

	"portolan.test/clients/internal/report"
)

// settings has the address and the credentials of a connection.
type settings struct {
	report.Servers
	oauth, tokenURI, client, secret string
	writable                        string
}

func main() {
	var s settings
	only := report.Only()
	s.Declare()
	flag.StringVar(&s.oauth, "oauth", "", "a node with TLS that takes the tokens of -token-uri")
	flag.StringVar(&s.tokenURI, "token-uri", "", "where tokens are had")
	flag.StringVar(&s.client, "client-id", "", "the OAuth client")
	flag.StringVar(&s.secret, "client-secret", "", "its secret")
	flag.StringVar(&s.writable, "writable", "", "a port that takes rows of (id BIGINT, name VARCHAR): domain.product.port")
	flag.Parse()
	report.Run("adbc-go", "github.com/apache/arrow-adbc/go/adbc", *only, s.checks())
}

// checks returns the checks that these settings allow.
func (s settings) checks() []report.Check {
	checks := s.ways()
	for _, feature := range []struct {
		name string
		try  func(*session) error
	}{
		{"browse", browse},
		{"metadata-getters", metadataGetters},
		{"keys", keys},
		{"types", types},
		{"schema", schemas},
		{"parameters", parameters},
		{"limit-parameter", limitParameter},
		{"parameter-batches", parameterBatches},
		{"prepared-reuse", preparedReuse},
		{"large-results", largeResults},
		{"partitions", partitions},
		{"poll", poll},
		{"empty-results", emptyResults},
		{"duplicate-names", duplicateNames},
		{"session-options", sessionOptions},
		{"session-catalog", sessionCatalog},
		{"updates", updates},
		{"ingest", ingest},
		{"transactions", transactions},
		{"errors", errorsTold},
		{"cancel", cancel},
		{"timeouts", timeouts},
	} {
		checks = append(checks, report.Check{Feature: feature.name, Try: func() error {
			session, err := s.open()
			if err != nil {
				return err
			}
			defer session.close()
			return feature.try(session)
		}})
	}
	if s.writable != "" {
		checks = append(checks, report.Check{Feature: "ingest-port", Try: s.ingestPort})
	}
	return checks
}

// options returns the options for -url. Cookies carry the session of a client that does not log in.
func (s settings) options() map[string]string {
	options := map[string]string{
		adbc.OptionKeyURI:                s.URL,
		flightsql.OptionCookieMiddleware: adbc.OptionValueEnabled,
	}
	if s.User != "" {
		options[adbc.OptionKeyUsername] = s.User
		options[adbc.OptionKeyPassword] = s.Password
	}
	return options
}

func (s settings) open() (*session, error) {
	return open(s.options())
}
