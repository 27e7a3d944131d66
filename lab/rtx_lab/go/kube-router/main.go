// kube-router's network policies, and nothing else of it.
//
// Upstream asks iptables two dozen times, before each synchronization, whether rules that it has made itself are still
// there: each question is a process, and a cutover asks a thousand of them. Here an answer is believed for a minute.
package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/cloudnativelabs/kube-router/v2/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/v2/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/v2/pkg/options"
	"github.com/cloudnativelabs/kube-router/v2/pkg/svcip"
	"github.com/cloudnativelabs/kube-router/v2/pkg/utils"
	"github.com/spf13/pflag"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const believed = time.Minute

func main() {
	config := options.NewKubeRouterConfig()
	config.AddFlags(pflag.CommandLine)
	pflag.Parse()
	if err := run(config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run enforces policies for ever.
func run(config *options.KubeRouterConfig) error {
	rest, err := clientcmd.BuildConfigFromFlags("", config.Kubeconfig)
	if err != nil {
		return fmt.Errorf("the kubeconfig %s cannot be used: %w", config.Kubeconfig, err)
	}
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return fmt.Errorf("no client can be made of %s: %w", config.Kubeconfig, err)
	}
	never := make(chan struct{})
	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods().Informer()
	namespaces := factory.Core().V1().Namespaces().Informer()
	policies := factory.Networking().V1().NetworkPolicies().Informer()
	factory.Start(never)
	factory.WaitForCacheSync(never)

	ranges, err := svcip.NewValidator(svcip.Config{
		ClusterIPCIDRs: config.ClusterIPCIDRs, EnableIPv4: config.EnableIPv4, EnableIPv6: config.EnableIPv6,
	})
	if err != nil {
		return fmt.Errorf("the range of Services cannot be used: %w", err)
	}
	handlers, sets, err := netpol.NewIPTablesHandlers(config)
	if err != nil {
		return fmt.Errorf("iptables or ipset cannot be used: %w", err)
	}
	for family, handler := range handlers {
		handlers[family] = &memory{IPTablesHandler: handler}
	}
	var setsInUse sync.Mutex
	controller, err := netpol.NewNetworkPolicyController(
		client, config, pods, policies, namespaces, &setsInUse, nil, handlers, sets, ranges)
	if err != nil {
		return fmt.Errorf("the network policy controller cannot start: %w", err)
	}
	for informer, handler := range map[cache.SharedIndexInformer]cache.ResourceEventHandler{
		pods:       controller.PodEventHandler,
		namespaces: controller.NamespaceEventHandler,
		policies:   controller.NetworkPolicyEventHandler,
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return fmt.Errorf("changes cannot be watched: %w", err)
		}
	}
	heartbeats := make(chan *healthcheck.ControllerHeartbeat)
	go func() {
		for range heartbeats { // nobody asks for its health, and it waits until each beat is taken
		}
	}()
	var ended sync.WaitGroup
	ended.Add(1)
	controller.Run(heartbeats, never, &ended)
	return nil
}

// memory answers again what iptables has said of rules and chains within the last minute, until one of them is changed
// through it. It is used by one goroutine at a time: the controller's lock sees to that.
type memory struct {
	utils.IPTablesHandler
	said  map[string][]string
	since time.Time
}

// recall returns what was said to a question, or asks it; only an answer that affirms is kept.
func (m *memory) recall(question []string, ask func() ([]string, bool, error)) ([]string, bool, error) {
	if m.said == nil || time.Since(m.since) > believed {
		m.forget()
	}
	key := strings.Join(question, "\x00")
	if answer, known := m.said[key]; known {
		return answer, true, nil
	}
	answer, yes, err := ask()
	if err == nil && yes {
		m.said[key] = answer
	}
	return answer, yes, err
}

func (m *memory) forget() {
	m.said, m.since = map[string][]string{}, time.Now()
}

func (m *memory) Exists(table, chain string, rule ...string) (bool, error) {
	_, yes, err := m.recall(append([]string{"rule", table, chain}, rule...), func() ([]string, bool, error) {
		yes, err := m.IPTablesHandler.Exists(table, chain, rule...)
		return nil, yes, err
	})
	return yes, err
}

func (m *memory) ChainExists(table, chain string) (bool, error) {
	_, yes, err := m.recall([]string{"chain", table, chain}, func() ([]string, bool, error) {
		yes, err := m.IPTablesHandler.ChainExists(table, chain)
		return nil, yes, err
	})
	return yes, err
}

// List is asked where in a chain the controller's own rules stand; those of pods, which come after them, may be old.
func (m *memory) List(table, chain string) ([]string, error) {
	rules, _, err := m.recall([]string{"list", table, chain}, func() ([]string, bool, error) {
		rules, err := m.IPTablesHandler.List(table, chain)
		return rules, true, err
	})
	return rules, err
}

func (m *memory) AppendUnique(table, chain string, rule ...string) error {
	if yes, err := m.Exists(table, chain, rule...); yes || err != nil {
		return err
	}
	return m.Append(table, chain, rule...)
}

func (m *memory) Insert(table, chain string, position int, rule ...string) error {
	m.forget()
	return m.IPTablesHandler.Insert(table, chain, position, rule...)
}

func (m *memory) Append(table, chain string, rule ...string) error {
	m.forget()
	return m.IPTablesHandler.Append(table, chain, rule...)
}

func (m *memory) Delete(table, chain string, rule ...string) error {
	m.forget()
	return m.IPTablesHandler.Delete(table, chain, rule...)
}

func (m *memory) ClearChain(table, chain string) error {
	m.forget()
	return m.IPTablesHandler.ClearChain(table, chain)
}
