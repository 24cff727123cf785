// Package report prints the features of a client line by line: `ok <feature>`, or `no <feature>: why` if the client
// itself does not support it, and `fine` at the end. A failed check is printed to standard error, and the exit code is
// then 1.
package report

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// patience limits the time of one check, because a client that waits forever must not block the tests.
const patience = 2 * time.Minute

// Check is one feature and its test.
type Check struct {
	Feature string
	Try     func() error
}

type limit string

func (l limit) Error() string { return string(l) }

// Limit returns the error for a feature that the client does not support with any server.
func Limit(format string, values ...any) error {
	return limit(fmt.Sprintf(format, values...))
}

// Expect returns an error unless `holds` is true.
func Expect(holds bool, format string, values ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf("expected "+format, values...)
}

// Says returns an error unless `err` contains all the texts.
func Says(err error, texts ...string) error {
	if err == nil {
		return fmt.Errorf("expected an error that says %q", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			return fmt.Errorf("expected %q in: %w", text, err)
		}
	}
	return nil
}

// Run names the client by a module of this program, runs the checks and ends the program.
func Run(client, module string, only string, checks []Check) {
	fmt.Printf("client %s %s\n", client, version(module))
	failed := false
	for _, check := range checks {
		if only != "" && !contains(strings.Split(only, ","), check.Feature) {
			continue
		}
		var cannot limit
		err := attempt(check)
		switch {
		case err == nil:
			fmt.Printf("ok %s\n", check.Feature)
		case errors.As(err, &cannot):
			fmt.Printf("no %s: %s\n", check.Feature, cannot)
		default:
			failed = true
			fmt.Fprintf(os.Stderr, "failed %s: %v\n", check.Feature, err)
		}
	}
	if failed {
		os.Exit(1)
	}
	fmt.Println("fine")
}

// Only declares the flag that restricts a run to some features.
func Only() *string {
	return flag.String("only", "", "features to try, with commas between; all if empty")
}

func attempt(check Check) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if cause := recover(); cause != nil {
				done <- fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
			}
		}()
		done <- check.Try()
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		return fmt.Errorf("no end after %s", patience)
	}
}

func contains(texts []string, wanted string) bool {
	for _, text := range texts {
		if text == wanted {
			return true
		}
	}
	return false
}

func version(module string) string {
	info, known := debug.ReadBuildInfo()
	if known {
		for _, dependency := range info.Deps {
			if dependency.Path == module {
				return strings.TrimPrefix(dependency.Version, "v")
			}
		}
	}
	return "unknown"
}
