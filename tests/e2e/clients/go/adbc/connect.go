package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/apache/arrow-adbc/go/adbc"
	"github.com/apache/arrow-adbc/go/adbc/driver/flightsql"

	"portolan.test/clients/internal/report"
)

// ways returns the ways to connect that these settings allow.
func (s settings) ways() []report.Check {
	var checks []report.Check
	add := func(feature, needed string, try func() error) {
		if needed != "" {
			checks = append(checks, report.Check{Feature: feature, Try: try})
		}
	}
	add("connect-anonymous", s.Anonymous, func() error {
		return connects(map[string]string{adbc.OptionKeyURI: s.Anonymous})
	})
	add("connect-password", s.User, s.byPassword)
	add("connect-token", s.Token, s.byToken)
	add("connect-token-as-password", s.Token, func() error {
		return connects(map[string]string{
			adbc.OptionKeyURI:      s.URL,
			adbc.OptionKeyUsername: s.TokenUser,
			adbc.OptionKeyPassword: s.Token,
		})
	})
	add("connect-tls", s.TLS, s.byTLS)
	add("connect-mtls", s.MTLS, s.byCertificate)
	add("connect-oauth", s.oauth, s.byOAuth)
	return checks
}

func connects(options map[string]string) error {
	session, err := open(options)
	if err != nil {
		return err
	}
	defer session.close()
	return session.answers("SELECT 1 AS one", "1")
}

// refuses returns an error unless the server refuses the options, with a message that does not contain the secret.
func refuses(options map[string]string, secret string) error {
	err := connects(options)
	if told := isStatus(err, adbc.StatusUnauthenticated); told != nil {
		return told
	}
	return report.Expect(!strings.Contains(err.Error(), secret), "no secret in: %v", err)
}

func (s settings) byPassword() error {
	options := map[string]string{adbc.OptionKeyURI: s.URL, adbc.OptionKeyUsername: s.User}
	options[adbc.OptionKeyPassword] = s.Password
	if err := connects(options); err != nil {
		return err
	}
	wrong := map[string]string{adbc.OptionKeyURI: s.URL, adbc.OptionKeyUsername: s.User}
	wrong[adbc.OptionKeyPassword] = "not-this-one"
	return refuses(wrong, "not-this-one")
}

func (s settings) byToken() error {
	header := func(token string) map[string]string {
		return map[string]string{adbc.OptionKeyURI: s.URL, flightsql.OptionAuthorizationHeader: "Bearer " + token}
	}
	if err := connects(header(s.Token)); err != nil {
		return err
	}
	return refuses(header("not-a-token"), "not-a-token")
}

// authority returns the options that trust -ca at a node.
func (s settings) authority(url string) (map[string]string, error) {
	ca, err := os.ReadFile(s.CA)
	return map[string]string{adbc.OptionKeyURI: url, flightsql.OptionSSLRootCerts: string(ca)}, err
}

func (s settings) byTLS() error {
	options, err := s.authority(s.TLS)
	if err != nil {
		return err
	}
	if s.User != "" {
		options[adbc.OptionKeyUsername] = s.User
		options[adbc.OptionKeyPassword] = s.Password
	}
	if err := connects(options); err != nil {
		return err
	}
	err = connects(map[string]string{adbc.OptionKeyURI: s.TLS})
	return report.Says(err, "certificate")
}

func (s settings) byCertificate() error {
	options, err := s.authority(s.MTLS)
	if err != nil {
		return err
	}
	cert, err := os.ReadFile(s.Cert)
	if err != nil {
		return err
	}
	key, err := os.ReadFile(s.Key)
	if err != nil {
		return err
	}
	options[flightsql.OptionMTLSCertChain] = string(cert)
	options[flightsql.OptionMTLSPrivateKey] = string(key)
	if err := connects(options); err != nil {
		return err
	}
	without, err := s.authority(s.MTLS)
	if err != nil {
		return err
	}
	if connects(without) == nil {
		return fmt.Errorf("expected that one without a certificate is refused")
	}
	return nil
}

// byOAuth makes the driver fetch a token. gRPC in Go sends such tokens over TLS only.
func (s settings) byOAuth() error {
	options, err := s.authority(s.oauth)
	if err != nil {
		return err
	}
	options[flightsql.OptionKeyOauthFlow] = flightsql.ClientCredentials
	options[flightsql.OptionKeyTokenURI] = s.tokenURI
	options[flightsql.OptionKeyClientId] = s.client
	options[flightsql.OptionKeyClientSecret] = s.secret
	return connects(options)
}
