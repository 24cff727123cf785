// Arrow's own Go client for Flight SQL, call by call. Drivers are built on this client.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql/schema_ref"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"portolan.test/clients/internal/report"
)

// session is one connection. Its context has the credentials of the login.
type session struct {
	*flightsql.Client
	context context.Context
}

func main() {
	only := report.Only()
	var at report.Servers
	at.Declare()
	flag.Parse()
	var checks []report.Check
	if at.Anonymous != "" {
		checks = append(checks, report.Check{Feature: "connect-anonymous", Try: func() error {
			return with(at.Anonymous, "", "", asks)
		}})
	}
	if at.User != "" {
		checks = append(checks, report.Check{Feature: "connect-password", Try: func() error {
			return errors.Join(with(at.URL, at.User, at.Password, asks), refused(with(at.URL, at.User, "not-this-one", asks)))
		}})
	}
	if at.Token != "" {
		checks = append(checks, report.Check{Feature: "connect-token", Try: func() error {
			return errors.Join(withToken(at.URL, at.Token), refused(withToken(at.URL, "not-a-token")))
		}}, report.Check{Feature: "connect-token-as-password", Try: func() error {
			return with(at.URL, at.TokenUser, at.Token, asks)
		}})
	}
	if at.TLS != "" {
		checks = append(checks, report.Check{Feature: "connect-tls", Try: func() error {
			trust, err := trusting(at.CA)
			return errors.Join(err, withSecurity(at.TLS, trust, at.User, at.Password, asks))
		}})
	}
	if at.MTLS != "" {
		checks = append(checks, report.Check{Feature: "connect-mtls", Try: func() error {
			trust, err := trusting(at.CA)
			if err != nil {
				return err
			}
			without := withSecurity(at.MTLS, trust, "", "", asks)
			shown, err := tls.LoadX509KeyPair(at.Cert, at.Key)
			if err != nil {
				return err
			}
			trust = trust.Clone()
			trust.Certificates = []tls.Certificate{shown}
			return errors.Join(refused(without), withSecurity(at.MTLS, trust, "", "", asks))
		}})
	}
	for _, feature := range []struct {
		name string
		try  func(*session) error
	}{
		{"metadata-schemas", metadataSchemas},
		{"keys", keys},
		{"session-close", sessionClose},
		{"cancel-flight-info", cancelFlightInfo},
		{"transactions", transactions},
		{"errors", errorsTold},
	} {
		checks = append(checks, report.Check{Feature: feature.name, Try: func() error {
			return with(at.URL, at.User, at.Password, feature.try)
		}})
	}
	report.Run("flightsql-go", "github.com/apache/arrow-go/v18", *only, checks)
}

// trusting returns a TLS config that trusts the authority in this file.
func trusting(ca string) (*tls.Config, error) {
	text, err := os.ReadFile(ca)
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(text)
	return &tls.Config{RootCAs: authorities}, err
}

func with(url, user, password string, try func(*session) error) error {
	return withSecurity(url, nil, user, password, try)
}

func withToken(url, token string) error {
	return with(url, "", "", func(s *session) error {
		s.context = metadata.AppendToOutgoingContext(s.context, "authorization", "Bearer "+token)
		return asks(s)
	})
}

// withSecurity runs a check over one connection, without TLS if there is no config.
func withSecurity(url string, security *tls.Config, user, password string, try func(*session) error) error {
	_, host, _ := strings.Cut(url, "://")
	cookies := []flight.ClientMiddleware{flight.NewClientCookieMiddleware()}
	transport := insecure.NewCredentials()
	if security != nil {
		transport = credentials.NewTLS(security)
	}
	client, err := flightsql.NewClient(host, nil, cookies, grpc.WithTransportCredentials(transport))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	if user != "" {
		if ctx, err = client.Client.AuthenticateBasicToken(ctx, user, password); err != nil {
			return err
		}
	}
	return try(&session{Client: client, context: ctx})
}

// rows reads every endpoint of a flight, and returns the columns and the number of rows.
func (s *session) rows(info *flight.FlightInfo) (*arrow.Schema, int64, error) {
	var schema *arrow.Schema
	var count int64
	for _, endpoint := range info.Endpoint {
		reader, err := s.DoGet(s.context, endpoint.Ticket)
		if err != nil {
			return nil, 0, err
		}
		defer reader.Release()
		schema = reader.Schema()
		for reader.Next() {
			count += reader.RecordBatch().NumRows()
		}
		if err := reader.Err(); err != nil && !errors.Is(err, io.EOF) {
			return nil, 0, err
		}
	}
	return schema, count, nil
}

// asks runs one query.
func asks(s *session) error {
	info, err := s.Execute(s.context, "SELECT 1 AS one")
	if err != nil {
		return err
	}
	_, rows, err := s.rows(info)
	return errors.Join(err, report.Expect(rows == 1, "one row, got %d", rows))
}

func refused(err error) error {
	return report.Expect(status.Code(err) == codes.Unauthenticated, "UNAUTHENTICATED, got %v", err)
}

// primaryKeys has the columns in the order of Flight SQL's text. Arrow's own implementations swap the last two.
var primaryKeys = func() *arrow.Schema {
	columns := schema_ref.PrimaryKeys.Fields()
	last := len(columns) - 1
	columns[last], columns[last-1] = columns[last-1], columns[last]
	return arrow.NewSchema(columns, nil)
}()

// metadataSchemas compares the schemas that GetSchema, GetFlightInfo and DoGet return for each metadata call with
// Flight SQL's.
func metadataSchemas(s *session) error {
	catalog, product := "geo", "places"
	nation := flightsql.TableRef{Catalog: &catalog, DBSchema: &product, Table: "nation"}
	with, without := &flightsql.GetTablesOpts{IncludeSchema: true}, &flightsql.GetTablesOpts{}
	schema := func(told *flight.SchemaResult, err error) func() (*flight.SchemaResult, error) {
		return func() (*flight.SchemaResult, error) { return told, err }
	}
	info := func(told *flight.FlightInfo, err error) func() (*flight.FlightInfo, error) {
		return func() (*flight.FlightInfo, error) { return told, err }
	}
	var failures []error
	for _, call := range []struct {
		name   string
		wanted *arrow.Schema
		schema func() (*flight.SchemaResult, error)
		info   func() (*flight.FlightInfo, error)
	}{
		{"GetCatalogs", schema_ref.Catalogs, schema(s.GetCatalogsSchema(s.context)), info(s.GetCatalogs(s.context))},
		{"GetDbSchemas", schema_ref.DBSchemas, schema(s.GetDBSchemasSchema(s.context)), info(s.GetDBSchemas(s.context, &flightsql.GetDBSchemasOpts{}))},
		{"GetTables", schema_ref.Tables, schema(s.GetTablesSchema(s.context, without)), info(s.GetTables(s.context, without))},
		{"GetTables with schemas", schema_ref.TablesWithIncludedSchema, schema(s.GetTablesSchema(s.context, with)), info(s.GetTables(s.context, with))},
		{"GetTableTypes", schema_ref.TableTypes, schema(s.GetTableTypesSchema(s.context)), info(s.GetTableTypes(s.context))},
		{"GetPrimaryKeys", primaryKeys, schema(s.GetPrimaryKeysSchema(s.context)), info(s.GetPrimaryKeys(s.context, nation))},
		{"GetExportedKeys", schema_ref.ExportedKeys, schema(s.GetExportedKeysSchema(s.context)), info(s.GetExportedKeys(s.context, nation))},
		{"GetImportedKeys", schema_ref.ImportedKeys, schema(s.GetImportedKeysSchema(s.context)), info(s.GetImportedKeys(s.context, nation))},
		{"GetCrossReference", schema_ref.CrossReference, schema(s.GetCrossReferenceSchema(s.context)), info(s.GetCrossReference(s.context, nation, nation))},
		{"GetXdbcTypeInfo", schema_ref.XdbcTypeInfo, schema(s.GetXdbcTypeInfoSchema(s.context)), info(s.GetXdbcTypeInfo(s.context, nil))},
		{"GetSqlInfo", schema_ref.SqlInfo, schema(s.GetSqlInfoSchema(s.context)), info(s.GetSqlInfo(s.context, nil))},
	} {
		if err := s.conforms(call.wanted, call.schema, call.info); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", call.name, err))
		}
	}
	return errors.Join(failures...)
}

func (s *session) conforms(wanted *arrow.Schema, schema func() (*flight.SchemaResult, error), info func() (*flight.FlightInfo, error)) error {
	result, err := schema()
	if err != nil {
		return fmt.Errorf("GetSchema: %w", err)
	}
	told, err := flight.DeserializeSchema(result.GetSchema(), memory.DefaultAllocator)
	if err != nil {
		return fmt.Errorf("GetSchema: %w", err)
	}
	announced, err := info()
	if err != nil {
		return fmt.Errorf("GetFlightInfo: %w", err)
	}
	planned, err := flight.DeserializeSchema(announced.GetSchema(), memory.DefaultAllocator)
	if err != nil {
		return fmt.Errorf("GetFlightInfo: %w", err)
	}
	sent, _, err := s.rows(announced)
	if err != nil {
		return fmt.Errorf("DoGet: %w", err)
	}
	var failures []error
	for _, way := range []struct {
		call string
		got  *arrow.Schema
	}{{"GetSchema", told}, {"GetFlightInfo", planned}, {"DoGet", sent}} {
		either := wanted == primaryKeys && schema_ref.PrimaryKeys.Equal(way.got)
		if !wanted.Equal(way.got) && !either {
			failures = append(failures, fmt.Errorf("%s: expected %s, got %s", way.call, wanted, way.got))
		}
	}
	return errors.Join(failures...)
}

// keys checks the keys that contracts declare: the primary key of one port, and a reference to another port.
func keys(s *session) error {
	catalog, product := "geo", "places"
	nation := flightsql.TableRef{Catalog: &catalog, DBSchema: &product, Table: "nation"}
	info, err := s.GetPrimaryKeys(s.context, nation)
	if err != nil {
		return err
	}
	_, primary, err := s.rows(info)
	if err != nil {
		return err
	}
	return report.Expect(primary == 1, "one column in the key of nation, got %d", primary)
}

// sessionClose closes a session, and the next call opens another one.
func sessionClose(s *session) error {
	result, err := s.CloseSession(s.context, &flight.CloseSessionRequest{})
	if err != nil {
		return err
	}
	closed := result.GetStatus() == flight.CloseSessionResultClosed || result.GetStatus() == flight.CloseSessionResultNotCloseable
	return report.Expect(closed, "a closed session, or none, got %s", result.GetStatus())
}

// cancelFlightInfo cancels a query by its flight, whose rows can then no longer be fetched.
func cancelFlightInfo(s *session) error {
	info, err := s.Execute(s.context, "SELECT * FROM sales.orders.lineitem")
	if err != nil {
		return err
	}
	result, err := s.CancelFlightInfo(s.context, &flight.CancelFlightInfoRequest{Info: info})
	if err != nil {
		return err
	}
	if err := report.Expect(result.GetStatus() == flight.CancelStatusCancelled, "a cancelled flight, got %s", result.GetStatus()); err != nil {
		return err
	}
	if _, _, err = s.rows(info); err == nil {
		return fmt.Errorf("expected no rows of a cancelled flight")
	}
	return nil
}

// transactions are refused as unsupported, which drivers read as their absence.
func transactions(s *session) error {
	_, err := s.BeginTransaction(s.context)
	return report.Expect(status.Code(err) == codes.Unimplemented, "UNIMPLEMENTED, got %v", err)
}

func errorsTold(s *session) error {
	for query, wanted := range map[string]codes.Code{
		"SELEC 1":                                            codes.InvalidArgument,
		"SELECT n_nam FROM geo.places.nation":                codes.InvalidArgument,
		"SELECT * FROM geo.places.nations":                   codes.NotFound,
		"INSERT INTO geo.places.region VALUES (9, 'x', 'y')": codes.Unimplemented,
		"SELECT * FROM geo.places.nation; DROP TABLE geo.x":  codes.InvalidArgument,
	} {
		_, err := s.Execute(s.context, query)
		if status.Code(err) != wanted {
			return fmt.Errorf("%s: expected %s, got %w", query, wanted, err)
		}
	}
	return nil
}
