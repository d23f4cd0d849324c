package ssh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
)

// A Question is put to a person.
type Question struct {
	Host string // the inventory's name, or empty where it is about no host
	Text string // without a trailing colon, neutralised
	Echo bool   // whether the answer may be shown while it is typed
}

// Ask puts a question to a person and returns the answer.
type Ask func(ctx context.Context, q Question) (string, error)

// A Secret returns a password. It may be called often and from several
// goroutines.
type Secret func(ctx context.Context) (string, error)

// SecretFile is the first line of a file, read when it is first wanted.
func SecretFile(path string) Secret {
	return remembered(func(context.Context) (string, error) {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("read the password file: %w", err)
		}
		line, _, _ := strings.Cut(string(b), "\n")
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			return "", fmt.Errorf("the first line of the password file %s is empty", path)
		}
		return line, nil
	})
}

// SecretAsked asks a person when it is first wanted, and only once.
func SecretAsked(ask Ask, text string) Secret {
	return remembered(func(ctx context.Context) (string, error) {
		return ask(ctx, Question{Text: text})
	})
}

// remembered keeps what get returned, an error too, but that its own caller
// went away.
func remembered(get Secret) Secret {
	var (
		mu    sync.Mutex
		known bool
		value string
		err   error
	)
	return func(ctx context.Context) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if known {
			return value, err
		}
		value, err = get(ctx)
		known = err == nil || !errors.Is(err, context.Canceled)
		return value, err
	}
}
