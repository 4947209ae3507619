//! What is wanted of a scenery: settings of a migration, as every language of libmigrate writes them.

use serde_json::{Value, json};

use super::scenery::{GROUP, Kind, REGION, Scenery};

impl Scenery {
    /// The scenery of a scenario, by the name that settings have for it.
    pub fn of(scenario: &str) -> Option<Self> {
        [Self::vmware(), Self::hyper_v(), Self::agent_based()]
            .into_iter()
            .find(|scenery| scenery.scenario() == scenario)
    }

    fn scenario(&self) -> &'static str {
        match self.kind {
            Kind::Vmware => "vmware_agentless",
            Kind::HyperV => "hyper_v",
            Kind::AgentBased => "agent_based",
        }
    }

    /// Settings that migrate the first so many machines, each as `web01` and so on, with two disks.
    pub fn settings(&self, servers: u32) -> Value {
        json!({
            "scenario": self.scenario(),
            "cloud": "public",
            "project": self.project(),
            "vault": self.vault(),
            "region": REGION,
            "private_network": {
                "subnet": self.subnet(), "endpoint_group": GROUP, "may_approve": true, "zone_group": GROUP,
            },
            "replication_account": self.account(),
            "container": self.container(),
            "appliance": {},
            "target": {
                "resource_group": self.target_group(),
                "network": self.network(),
                "subnet": "endpoints",
                "test": { "network": self.test_network(), "subnet": "endpoints" },
            },
            "servers": (1..=servers).map(|number| self.server(number)).collect::<Vec<_>>(),
        })
    }

    fn server(&self, number: u32) -> Value {
        let name = format!("web{number:02}");
        // Those of a server with an agent are known only once it replicates.
        let nics = if self.kind == Kind::AgentBased {
            json!([])
        } else {
            json!([{ "id": "4000", "role": { "primary": {} } }])
        };
        json!({
            "source": { self.scenario(): self.source(number) },
            "item": name,
            "name": name,
            "size": "Standard_D2s_v3",
            "disks": [
                { "id": self.disk(number, 0), "is_os": true, "disk_type": "Standard_LRS" },
                { "id": self.disk(number, 1), "disk_type": "Standard_LRS" },
            ],
            "nics": nics,
        })
    }

    fn source(&self, number: u32) -> Value {
        let machine = self.machine(number);
        match self.kind {
            Kind::Vmware => json!({
                "machine": machine,
                "data_mover_account": self.run_as_account(),
                "snapshot_account": self.run_as_account(),
                "resyncs_by_itself": true,
            }),
            Kind::HyperV => json!({
                "machine": machine,
                "protectable_item": self.protectable_item(number),
                "host_vm_id": format!("host-{number}"),
                "os_type": "Windows",
            }),
            Kind::AgentBased => json!({ "machine": machine, "process_server": self.process_server() }),
        }
    }
}
