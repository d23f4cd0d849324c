package fake

import (
	"context"

	"weft/engine/host"
)

// OnPing says who answers echo requests; nobody does without it. The report's
// Sent is filled in where it is left 0.
func (m *Machine) OnPing(answer func(m *Machine, p host.Ping) host.PingReport) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hooks.ping = answer
}

// OnExchange says what an echo service gives back; nothing comes back without
// it.
func (m *Machine) OnExchange(answer func(m *Machine, e host.Exchange) host.ExchangeReport) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hooks.exchange = answer
}

// packets is the door to the answers.
type packets struct{ m *Machine }

func (p packets) Ping(ctx context.Context, ping host.Ping) (host.PingReport, error) {
	answer, err := enter(ctx, p.m, ping.Namespace, &p.m.hooks.ping)
	if err != nil {
		return host.PingReport{}, err
	}
	report := host.PingReport{}
	if answer != nil {
		report = answer(p.m, ping)
	}
	if report.Sent == 0 {
		report.Sent = ping.Count
	}
	return report, nil
}

func (p packets) Exchange(ctx context.Context, e host.Exchange) (host.ExchangeReport, error) {
	answer, err := enter(ctx, p.m, e.Namespace, &p.m.hooks.exchange)
	if err != nil || answer == nil {
		return host.ExchangeReport{}, err
	}
	return answer(p.m, e), nil
}

// enter returns a hook for a namespace that must be there.
func enter[T any](ctx context.Context, m *Machine, namespace string, hook *T) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.net.spaces[namespace]; !ok {
		return none, noNamespace(namespace)
	}
	return *hook, nil
}
