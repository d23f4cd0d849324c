package push

import (
	"context"
	"errors"

	"weft/engine/wire"
)

// A Session is a runner at work on a host.
type Session struct {
	// Requests goes to the runner. The first requests are on their way.
	Requests *wire.Writer[wire.Request]
	// Events comes from the runner. Its end of file says that the runner is
	// gone or the connection lost; Wait says which.
	Events *wire.Reader[wire.Event]

	remote *remote
}

// launch starts the runner that is there, with the first requests in the same
// breath, and returns when it speaks. Its error is a [*fault] where the host
// answered something else.
func (s *starter) launch(ctx context.Context) (*Session, error) {
	p, err := s.host.start(ctx, serveScript(s.options.Images), s.options.Log)
	if err != nil {
		return nil, err
	}
	session := &Session{
		Requests: wire.NewWriter[wire.Request](p.Stdin),
		Events:   wire.NewReader[wire.Event](p.stdout),
		remote:   p,
	}
	written := make(chan error, 1)
	go func() { written <- session.Requests.Write(s.options.First...) }()
	if err := session.Events.Open(); err != nil {
		var noise *wire.NoiseError
		if errors.As(err, &noise) {
			return nil, p.failed(noise.Noise)
		}
		return nil, p.failed(nil)
	}
	p.free()
	if err := <-written; err != nil {
		return nil, p.failed(nil)
	}
	return session, nil
}

// Stderr is the last of what the runner said on stderr, neutralised: at most
// 100 lines of at most 1000 bytes.
func (s *Session) Stderr() []string { return s.remote.stderr.last() }

// Wait waits until the runner is gone. It returns nil for a runner that ended
// well, an [*ssh.ExitError] in an error that has the last of stderr, or an
// [*ssh.Error] where the connection was lost. Events must be read meanwhile.
func (s *Session) Wait() error {
	err := s.remote.Wait()
	if err == nil {
		return nil
	}
	return s.remote.ended(err)
}

// Hangup sends the end of input: the runner finishes the effect in flight and
// exits, and what it still has to say can be read.
func (s *Session) Hangup() { _ = s.remote.Stdin.Close() }

// Close ends the session at once. A runner that was told nothing before sees
// the end of its input, finishes the effect in flight and exits.
func (s *Session) Close() error {
	s.remote.end()
	return nil
}
