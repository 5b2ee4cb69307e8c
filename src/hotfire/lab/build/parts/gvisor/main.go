// Program containerd-shim-runsc-v1 is gVisor's shim for a root that may lower no OOM score.
//
// gVisor's own asks the kernel to spare it, and gives up where that takes CAP_SYS_RESOURCE.
package main

import (
	"context"
	"net"
	"os"

	"github.com/containerd/containerd/runtime/v2/shim"
	runsc "gvisor.dev/gvisor/pkg/shim/v1"
)

type unspared struct{ shim.Shim }

// StartShim starts the process that stays with a container, and returns where it is asked.
func (unspared) StartShim(ctx context.Context, opts shim.StartOpts) (string, error) {
	address, err := shim.SocketAddress(ctx, opts.Address, opts.ID)
	if err != nil {
		return "", err
	}
	socket, err := shim.NewSocket(address)
	if err != nil {
		return "", err
	}
	// Not closed before this process ends: that would remove it.
	if err := start(ctx, opts, socket); err != nil {
		_ = shim.RemoveSocket(address)
		return "", err
	}
	return address, shim.WriteAddress("address", address)
}

func start(ctx context.Context, opts shim.StartOpts, socket *net.UnixListener) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	bundle, err := os.Getwd()
	if err != nil {
		return err
	}
	config := shim.CommandConfig{
		Runtime: self, Path: bundle, Address: opts.Address, TTRPCAddress: opts.TTRPCAddress,
	}
	command, err := shim.Command(ctx, &config)
	if err != nil {
		return err
	}
	file, err := socket.File()
	if err != nil {
		return err
	}
	defer file.Close()
	command.ExtraFiles = append(command.ExtraFiles, file)
	if err := command.Start(); err != nil {
		return err
	}
	return shim.WritePidFile("shim.pid", command.Process.Pid)
}

func made(
	ctx context.Context, id string, publisher shim.Publisher, shutdown func(),
) (shim.Shim, error) {
	found, err := runsc.New(ctx, id, publisher, shutdown)
	return unspared{found}, err
}

func main() {
	shim.Run("io.containerd.runsc.v1", made)
}
