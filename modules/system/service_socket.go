package system

import (
	"context"
	"errors"

	"weft/engine/host"
)

// behind gives orders about a socket while its service is stopped: systemd starts no socket whose service runs, and a
// service that runs keeps a socket open that was stopped. One that is enabled runs afterwards even where it did not before:
// a step that was killed here may have stopped it.
func behind(ctx context.Context, h host.Host, have, want ServiceSpec, orders func() error) error {
	socket, err := h.Units.Unit(ctx, want.Unit)
	if err != nil {
		return err
	}
	service, err := h.Units.Unit(ctx, socket.Triggers)
	if err != nil {
		return err
	}
	runs := want.Behind.Or(active(service) || service.FileState == "enabled")
	for tries := 1; ; tries++ {
		if active(service) {
			if err := h.Units.Do(ctx, host.Stop, socket.Triggers); err != nil {
				return err
			}
		}
		err = orders()
		if err == nil || tries == 3 {
			break
		}
		// Another socket of the service may have started it again meanwhile.
		var readErr error
		if service, readErr = h.Units.Unit(ctx, socket.Triggers); readErr != nil || !active(service) {
			err = errors.Join(err, readErr)
			break
		}
	}
	if runs {
		err = errors.Join(err, h.Units.Do(ctx, host.Start, socket.Triggers))
	}
	return err
}
